"""The draft of a host's return: what lets it in, what is swept, and which of its servers come up.

Decided from the capture alone; the steps themselves are in flows/host_return.py.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.plan import Lane, Verdict
from stackmend.engine.procedures import Draft
from stackmend.errors import BadInput
from stackmend.flows import movable, order
from stackmend.tasks.scope import names_of
from stackmend.tasks.verification import expected

# Every reason that a procedure of ours gives begins so.
OURS = "stackmend: "
SECONDS_PER_SERVER = 30.0
Server = dict[str, Any]


def draft(captured: dict[str, Any], given: Mapping[str, Any]) -> Draft:
    """The host's lane, one for each leftover, one for each server that ran, and a last look."""
    _check(captured, given)
    verdicts = [_judged(server, given) for server in captured["servers"]]
    coming = [server for server, found in zip(captured["servers"], verdicts, strict=True) if found.verdict == "ready"]
    after, notes = order.dependencies(coming, captured["groups"])
    depth = order.depths(after)
    servers = [_server_lane(server, captured, given, after[server["id"]]) for server in coming]
    servers.sort(key=lambda lane: (depth[lane.facts["id"]], lane.priority, lane.title))
    host = given["host"]
    lanes = [
        _host_lane(captured, given),
        *(_allocation_lane(row, host) for row in captured["left"]["allocations"]),
        *(_binding_lane(row, host) for row in captured["left"]["bindings"]),
        *servers,
        Lane("cloud:look", f"left on {host}", "look", {"host": host}, []),
    ]
    longest = 2 + max(depth.values(), default=0)
    notes = [*_notes(captured, given), *captured["left"]["odd"], *notes]
    return Draft(lanes, verdicts, notes, SECONDS_PER_SERVER * longest)


def _check(captured: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    known = {name for server in captured["servers"] for name in names_of(server)}
    for name in given["exclude"]:
        if name not in known:
            raise BadInput(f"there is no server {name} on {given['host']}: see the verdicts")
    if captured["node"] is None:
        raise BadInput(f"nova knows no hypervisor of {given['host']}: `openstack hypervisor list` shows them")


def _judged(server: Server, given: Mapping[str, Any]) -> Verdict:
    verdict, why = _verdict(server, given)
    return Verdict(f"server:{server['id']}", server["name"], verdict, why)


def _verdict(server: Server, given: Mapping[str, Any]) -> tuple[str, str]:
    if names_of(server) & set(given["exclude"]):
        return "nothing-to-do", "excluded: it stays as it is"
    if server["task_state"] in movable.LEAVING:
        return "impossible", f"it is {server['task_state']}: wait for that to end, then plan again"
    if server["vm_state"] == "stopped" and server["stopped_by"] == "nova":
        return "ready", "nova itself stopped it, no user did: it ran, and is started"
    if movable.ran(server):
        return "ready", "it ran: brought up if it does not"
    if server["vm_state"] == "stopped":
        return "nothing-to-do", "it was stopped and stays stopped"
    return "nothing-to-do", f"it is {server['vm_state']}: a start or a reboot would not restore that"


def _host_lane(captured: Mapping[str, Any], given: Mapping[str, Any]) -> Lane:
    host = given["host"]
    known = captured["computes"][host]
    ours = known["status"] == "disabled" and (known["disabled_reason"] or "").startswith(OURS)
    facts = {
        **{name: given[name] for name in ("host", "power_timeout", "compute_timeout")},
        "service": known["id"],
        "node": captured["node"],
        "place": captured["place"],
        "agent": captured["fence_agent"],
        "switch_on": captured["power"] == "off" or _in_the_dark(captured, known),
        "disabled_reason": known["disabled_reason"] if ours else "",
    }
    return Lane(f"host:{host}", host, "back", facts, [], locks=[f"host:{host}"])


def _in_the_dark(captured: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether nobody can say that the host has power: its agent did not answer, and it is not heard of."""
    return bool(captured["power_why"]) and known["state"] != "up"


def _allocation_lane(row: Mapping[str, Any], host: str) -> Lane:
    facts = {**{name: row[name] for name in ("server", "provider", "held")}, "host": host}
    return Lane(f"allocation:{row['server']}", f"{row['name']}, left on {host}", "sweep", facts, [])


def _binding_lane(row: Mapping[str, Any], host: str) -> Lane:
    facts = {"port": row["port"], "host": host}
    return Lane(f"binding:{row['port']}", f"port {row['port']}, left on {host}", "sweep", facts, [])


def _server_lane(server: Server, captured: Mapping[str, Any], given: Mapping[str, Any], after: list[str]) -> Lane:
    facts = {
        **{name: server[name] for name in ("id", "name")},
        "host": given["host"],
        "place": captured["place"],
        "boot_timeout": given["boot_timeout"],
        "wanted": expected(server, "active"),
    }
    return Lane(
        key=f"server:{server['id']}",
        title=server["name"],
        stage="servers",
        facts=facts,
        steps=[],
        after=[f"server:{earlier}" for earlier in after],
        priority=order.priority(server),
        group=given["host"],
        locks=[f"server:{server['id']}"],
    )


def _notes(captured: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    known, notes = captured["computes"][given["host"]], []
    if captured["power_why"]:
        then = "it is read again, and switched on if need be" if _in_the_dark(captured, known) else "nova hears of it"
        notes.append(f"power: {captured['power_why']}; {then}")
    if known["status"] == "disabled" and not (known["disabled_reason"] or "").startswith(OURS):
        why = known["disabled_reason"] or "no reason that was given"
        notes.append(f"{given['host']} stays disabled: that was not us, and for {why}")
    return notes
