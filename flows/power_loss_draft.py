"""The draft of a power-loss plan: who gets a lane, in which order, and what its steps will be built from.

Decided from the capture alone; the steps themselves are in flows/power_loss.py.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.plan import Lane, Verdict
from stackmend.engine.procedures import Draft
from stackmend.errors import BadInput
from stackmend.flows import order, repairs
from stackmend.tasks.scope import Scope
from stackmend.tasks.verification import expected

SSH_REBOOT = "stackmend:ssh-reboot"
SECONDS_PER_SERVER = 30.0
Recovered = list[tuple[dict[str, Any], repairs.Judgement]]


def draft(captured: dict[str, Any], given: Mapping[str, Any]) -> Draft:
    """A lane for the gate, one for each server that needs something, one for the sweep."""
    now = {server["id"]: server for server in captured["servers"]}
    judged = [(server, repairs.judge(server, now.get(server["id"]), captured["legacy"])) for server in _then(captured)]
    recovered = [(server, judgement) for server, judgement in judged if judgement.verdict == "ready"]
    servers_back = [server for server, _ in recovered]
    after, notes = order.dependencies(servers_back, captured["groups"])
    after = order.apart(servers_back, after, _attached_together(recovered))
    lanes = [_server_lane(server, found, now[server["id"]], captured, given, after) for server, found in recovered]
    verdicts = [verdict for server, found in judged for verdict in _verdicts(server, found)]
    if lanes:
        depth = order.depths(after)
        lanes.sort(key=lambda lane: (depth[lane.facts["id"]], lane.priority, lane.title))
        lanes = [_ready_lane(recovered, given), *lanes, _sweep_lane(recovered)]
    longest = 1 + max(order.depths(after).values(), default=0)
    return Draft(lanes, verdicts, notes, SECONDS_PER_SERVER * longest)


def _then(captured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The servers as an earlier capture has them, where there is one; those that came later as they are now."""
    now = {server["id"]: server for server in captured["servers"]}
    scope = Scope(**captured["scope"])
    earlier = {
        server["id"]: server for server in captured.get("then", ()) if server["id"] in now or scope.covered(server)
    }
    return list({**now, **earlier}.values())


def _server_lane(
    server: dict[str, Any],
    judgement: repairs.Judgement,
    now: dict[str, Any],
    captured: dict[str, Any],
    given: Mapping[str, Any],
    after: Mapping[str, list[str]],
) -> Lane:
    disks = [{**repair.disk, "action": repair.action, "why": repair.why} for repair in judgement.repairs]
    facts = {
        **{name: now[name] for name in ("id", "name", "host", "vm_state")},
        "then": server,
        "disks": disks,
        "reboot": judgement.reboot,
        "clear_task": now["task_state"] if judgement.clear_task else None,
        "sql": "nova" in captured["databases"],
        "ssh": _ssh(server, given) if judgement.reboot else None,
        "wait": {"boot": given["boot_timeout"], "attach": given["attach_timeout"]},
        "wanted": _wanted(server, disks, judgement.reboot),
    }
    return Lane(
        key=f"server:{server['id']}",
        title=server["name"],
        stage="recover",
        facts=facts,
        steps=[],
        after=[f"server:{earlier}" for earlier in after[server["id"]]],
        priority=order.priority(server),
        group=now["host"] or "",
        locks=[
            f"server:{server['id']}",
            *(f"volume:{disk['volume_id']}" for disk in disks if disk["action"] in repairs.TOUCHED),
        ],
    )


def _wanted(server: dict[str, Any], disks: list[dict[str, Any]], runs: bool) -> dict[str, Any]:
    """What verification will ask for: the server as captured, less what was left to others."""
    volumes = {disk["volume_id"]: "in-use" for disk in disks if disk["action"] != repairs.LEAVE}
    return expected(server, "active" if runs else "stopped", volumes)


def _ssh(server: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    asked = str(server["metadata"].get(SSH_REBOOT, "")).lower() == "true"
    if not (asked or given["ssh_reboot"]):
        return None
    if not server["addresses"]:
        raise BadInput(
            f"server {server['name']} has no address to reach it at by SSH: --exclude it, or remove {SSH_REBOOT}"
        )
    return {"address": server["addresses"][0], "user": server["metadata"].get("stackmend:ssh-user")}


def _attached_together(recovered: Recovered) -> list[list[str]]:
    """The servers that get one and the same volume back: cinder refuses an attachment while another is made."""
    found: dict[str, list[str]] = {}
    for server, judgement in recovered:
        for repair in judgement.repairs:
            if repair.action == repairs.REATTACH:
                found.setdefault(repair.disk["volume_id"], []).append(server["id"])
    return list(found.values())


def _ready_lane(recovered: Recovered, given: Mapping[str, Any]) -> Lane:
    hosts = sorted({server["host"] for server, found in recovered if found.reboot and server["host"]})
    facts = {
        "hosts": hosts,
        "checks": given["ready_checks"],
        "seconds": given["ready_timeout"],
        "interval": given["ready_interval"],
    }
    return Lane("cloud:ready", "readiness", "ready", facts, [])


def _sweep_lane(recovered: Recovered) -> Lane:
    found = {server["id"]: [disk["volume_id"] for disk in server["disks"]] for server, _ in recovered}
    return Lane("cloud:sweep", "leftovers", "sweep", {"servers": found}, [])


def _verdicts(server: dict[str, Any], found: repairs.Judgement) -> list[Verdict]:
    """The server's, and behind it each of its volumes': touched or not, and why."""
    volumes = [
        Verdict(
            f"volume:{repair.disk['volume_id']}",
            f"{server['name']} {repair.disk['device']}",
            repairs.VERDICTS[repair.action],
            f"{repair.action}: {repair.why}",
        )
        for repair in found.repairs
    ]
    return [Verdict(f"server:{server['id']}", server["name"], found.verdict, found.why), *volumes]
