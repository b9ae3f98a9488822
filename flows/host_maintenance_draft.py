"""The draft of a host's maintenance: which server leaves how, and both halves of the work on the host itself.

Decided from the capture alone; the steps themselves are in flows/host_maintenance.py.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.plan import Lane
from stackmend.engine.procedures import Draft
from stackmend.errors import BadInput
from stackmend.flows import migratable
from stackmend.flows.migratable import Judged
from stackmend.flows.migrate_servers import one_behind_another

OURS = "stackmend: host-maintenance"
RUNGS = ("live", "cold", "stop")
SECONDS_PER_SERVER = 30.0
Facts = dict[str, Any]


def drain_key(server: str) -> str:
    """The key of the lane in which a server leaves."""
    return f"server:{server}"


def draft(captured: dict[str, Any], given: Mapping[str, Any]) -> Draft:
    """The host is closed, drained and stopped; and, once it is approved, brought back."""
    ladder = _ladder(given["ladder"])
    _check(captured, given)
    judged = [_judge(server, captured, given, ladder) for server in captured["servers"]]
    targets = [given["to"]] if given["to"] else migratable.open_hosts(captured["computes"], [given["host"]])
    fitted, notes = migratable.room(judged, captured, targets, named=given["to"] is not None)
    judged = [_or_stopped(one, was, ladder) for one, was in zip(fitted, judged, strict=True)]
    leaving = [one for one in judged if one.how]
    drain = [_drain_lane(one, captured, given, ladder) for one in leaving]
    home = [lane for one in leaving if (lane := _home_lane(one, captured, given, ladder))]
    host = _host_facts(captured, given)
    lanes = [
        _host_lane("close", "closed", host),
        *one_behind_another(drain, given["at_once"]),
        _host_lane("stop", "stopped", host),
        _host_lane("back", "back", host),
        *one_behind_another(home, given["at_once"]),
    ]
    longest = SECONDS_PER_SERVER * (2 + -(-len(drain) // given["at_once"]) + -(-len(home) // given["at_once"]))
    return Draft(lanes, [one.as_verdict() for one in judged], [*notes, *_notes(captured, given)], longest)


def _ladder(text: str) -> list[str]:
    ladder = [rung.strip() for rung in text.split(",") if rung.strip()]
    if not ladder or ladder != [rung for rung in RUNGS if rung in ladder]:
        raise BadInput(f"the ladder is one or more of live, cold, stop in that order, parted by commas, not {text!r}")
    return ladder


def _check(captured: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    host, computes = given["host"], captured["computes"]
    migratable.check(computes, given["to"], given["on_deadline"])
    if given["to"] == host:
        raise BadInput(f"servers of {host} can't be moved to {host} itself: name another host, or none")
    if computes[host]["state"] != "up":
        raise BadInput(
            f"nova-compute on {host} is {computes[host]['state']}, so its servers can't leave in peace: bring it back "
            f"first (`stackmend plan host-return {host}`), or evacuate it if it is dead"
        )
    if bool(given["hook_mute"]) != bool(given["hook_unmute"]):
        raise BadInput("--hook-mute and --hook-unmute belong together: what is muted must be unmuted, by revert too")


def _judge(
    server: Mapping[str, Any], captured: Mapping[str, Any], given: Mapping[str, Any], ladder: list[str]
) -> Judged:
    if server["task_state"] is None and server["vm_state"] in ("suspended", "shelved", "stopped"):
        if server["vm_state"] == "stopped" and given["move_stopped"] and "cold" in ladder:
            return Judged(server, "ready", "it is stopped: cold-migrated and confirmed", migratable.COLD)
        return Judged(server, "nothing-to-do", f"it is {server['vm_state']}, and stays where it is")
    found = migratable.judge(server, captured["computes"], given["to"], [])
    if found.verdict == "impossible":
        return Judged(server, "impossible", f"{found.why}; the host is not empty while it is so")
    refused = migratable.live_refused(server)
    rungs = [rung for rung in ladder if _can(rung, server, refused)]
    if not rungs:
        return Judged(server, "impossible", f"nothing of the ladder fits it, it is {server['vm_state']}; {refused}")
    told = {"live": "live-migrated", "cold": "cold-migrated", "stop": "stopped where it is"}
    why = [", else ".join(told[rung] for rung in rungs), *([f"not live: {refused}"] if refused else [])]
    return Judged(server, "ready", "; ".join([*why, *migratable.notes_on(server)]), ",".join(rungs))


def _can(rung: str, server: Mapping[str, Any], refused: str) -> bool:
    return not refused if rung == "live" else server["vm_state"] == "active"


def _or_stopped(one: Judged, was: Judged, ladder: list[str]) -> Judged:
    """One that fits nowhere else can still be stopped."""
    if one.verdict == "impossible" and was.how and "stop" in was.how.split(","):
        return Judged(was.server, "ready", f"stopped where it is: {one.why}", "stop")
    return one


def _drain_lane(one: Judged, captured: Mapping[str, Any], given: Mapping[str, Any], ladder: list[str]) -> Lane:
    rungs = one.how.split(",")
    facts = {
        "id": one.server["id"],
        "ladder": rungs,
        # Every rung gives way to the next; the last one's failure is the server's.
        "move": {**_move(captured, given, given["host"], given["to"]), "gentle": len(rungs) > 1},
        "wanted": migratable.unchanged(one.server),
        "boot": given["boot_timeout"],
        "verify": given["verify_timeout"],
    }
    key = drain_key(one.server["id"])
    return Lane(key, one.server["name"], "drain", facts, [], group=given["host"], locks=[key])


def _home_lane(one: Judged, captured: Mapping[str, Any], given: Mapping[str, Any], ladder: list[str]) -> Lane | None:
    rungs, start = one.how.split(","), "stop" in one.how.split(",")
    home = ""
    if given["home"] and rungs != ["stop"]:
        home = migratable.LIVE if "live" in rungs else migratable.COLD
    if not home and not start:
        return None
    facts = {
        "id": one.server["id"],
        "home": home,
        "start": start,
        "move": _move(captured, given, "", given["host"]),
        "wanted": migratable.unchanged(one.server),
        "boot": given["boot_timeout"],
        "verify": given["verify_timeout"],
    }
    title = f"{one.server['name']}, home again"
    # No lock: for the time of the work the server belongs to whoever needs it.
    return Lane(f"home:{one.server['id']}", title, "home", facts, [], group=given["host"])


def _move(captured: Mapping[str, Any], given: Mapping[str, Any], source: str, to: str | None) -> Facts:
    return {**migratable.move(captured, given, source, to), "reason": _reason(captured, given)}


def _reason(captured: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    return " ".join(word for word in (OURS, captured["taken_at"], given["note"]) if word)[:255]


def _host_facts(captured: Mapping[str, Any], given: Mapping[str, Any]) -> Facts:
    row, watched = captured["computes"][given["host"]], captured["masakari"]
    disabled = row["status"] == "disabled"
    return {
        **{name: given[name] for name in ("host", "hook_mute", "hook_unmute", "ssh_timeout", "up_timeout")},
        "service": row["id"],
        "reason": _reason(captured, given),
        "why": f"it is disabled already ({row['disabled_reason'] or 'no reason given'})" if disabled else "",
        "enable": not disabled,
        # What Masakari leaves alone already, it goes on leaving alone.
        "masakari": watched if watched and not watched["on_maintenance"] else None,
        "place": captured["place"],
        "node": captured["node"],
        "empty_timeout": given["boot_timeout"],
    }


def _host_lane(stage: str, what: str, facts: Facts) -> Lane:
    host = facts["host"]
    return Lane(f"host:{host}:{stage}", f"{host}, {what}", stage, facts, [], locks=[f"host:{host}"])


def _notes(captured: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    row, watched, host = captured["computes"][given["host"]], captured["masakari"], given["host"]
    notes = []
    if row["status"] == "disabled":
        notes.append(
            f"{host} is disabled already ({row['disabled_reason'] or 'no reason given'}): it stays so at the end"
        )
    if given["mute_masakari"] and watched is None:
        notes.append(f"no segment of Masakari has {host}: there is nothing to mute there")
    if watched and watched["on_maintenance"]:
        notes.append(f"{host} is on maintenance at Masakari already: it stays so at the end")
    return notes
