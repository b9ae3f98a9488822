"""The draft of an evacuation: who moves, in which order, whether there is room, what stays and why.

Decided from the capture alone; the steps themselves are in flows/evacuate_host.py.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stackmend.engine.plan import Lane
from stackmend.engine.procedures import Draft
from stackmend.errors import BadInput
from stackmend.flows import capacity, fencing_stage, movable, order
from stackmend.tasks.scope import names_of
from stackmend.tasks.verification import expected

OURS = "stackmend: evacuate-host"
SECONDS_PER_SERVER = 30.0
# From this microversion on nova leaves what it evacuates stopped (all of these have two digits behind the point); up to
# the other one it starts what ran.
KEEPS_STOPPED, STARTS = "2.95", "2.68"
Server = dict[str, Any]


def draft(captured: dict[str, Any], given: Mapping[str, Any]) -> Draft:
    """The fence, a lane or two for each server that moves, and the hold."""
    _check_hosts(captured, given)
    _check_names(captured, given)
    rules = movable.Rules(given["shared_disks"], given["consent"], given["exclude"], given["leave"], given["tag"])
    verdicts = [movable.judge(server, rules) for server in captured["servers"]]
    moving = [server for server, found in zip(captured["servers"], verdicts, strict=True) if found.verdict == "ready"]
    if not moving:
        return Draft([], verdicts, ["no server of the host can be evacuated: see the verdicts"])
    starting = [server for server in moving if movable.ran(server)]
    after, notes = order.dependencies(starting, captured["groups"])
    depth = order.depths(after)
    lanes = [lane for server in moving for lane in _lanes(server, captured, given, after)]
    lanes.sort(key=lambda lane: (depth.get(lane.facts["id"], 0), lane.priority, lane.key))
    if captured["evacuate_version"] < KEEPS_STOPPED:
        _move_in_order(lanes, after)
    gate = [fencing_stage.lane(captured, given, OURS), *(_reserved_lane(host, captured) for host in given["reserved"])]
    hold = Lane("cloud:hold", f"{given['host']} is held", "hold", {"host": given["host"]}, [])
    longest = 2 + max(depth.values(), default=0)
    notes = [*_power(captured), *_room(moving, captured, given), *notes]
    return Draft([*gate, *_apart(lanes, captured), hold], verdicts, notes, SECONDS_PER_SERVER * longest)


def _check_hosts(captured: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    host, computes = given["host"], captured["computes"]
    for other in [*([given["to"]] if given["to"] else []), *given["reserved"]]:
        if other not in computes or other == host:
            raise BadInput(f"servers of {host} can't go to {other}: name another compute host that nova knows")
        if computes[other]["state"] != "up":
            raise BadInput(f"servers of {host} can't go to {other}: its nova-compute is {computes[other]['state']}")
    fencing_stage.check(captured, given)


def _check_names(captured: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """A name that was mistyped must not be consented to in silence, nor moved although it was excluded."""
    named = Counter(name for server in captured["servers"] for name in names_of(server))
    for name in [*given["exclude"], *given["consent"]]:
        if name != "all" and named[name] != 1:
            many = f"there are {named[name]} servers named {name} on {given['host']}: give the id of one"
            raise BadInput(many if named[name] else f"there is no server {name} on {given['host']}: see the verdicts")


def _power(captured: Mapping[str, Any]) -> list[str]:
    """What the fence agent says before it is needed."""
    if captured["power_why"]:
        return [f"fencing: {captured['power_why']}"]
    return (
        [f"fencing: {captured['fence_agent']} reads that its power is {captured['power']}"] if captured["power"] else []
    )


def _move_in_order(lanes: list[Lane], after: Mapping[str, Sequence[str]]) -> None:
    """An older nova starts what it evacuates: then a server is evacuated only when those before it run."""
    for lane in lanes:
        if lane.facts["part"] == "evacuate":
            lane.after.extend(f"start:{other}" for other in after.get(lane.facts["id"], ()))


def _reserved_lane(host: str, captured: Mapping[str, Any]) -> Lane:
    known = captured["computes"][host]
    facts = {
        "host": host,
        "service": known["id"],
        "disabled_reason": known["disabled_reason"] or "",
    }
    return Lane(f"reserved:{host}", f"{host}, in reserve", "reserve", facts, [], locks=[f"host:{host}"])


def _lanes(
    server: Server, captured: Mapping[str, Any], given: Mapping[str, Any], after: Mapping[str, Sequence[str]]
) -> list[Lane]:
    """One lane that moves the server, and one that starts it if it ran: what it comes after must not delay its move."""
    runs, newest = movable.ran(server), captured["evacuate_version"]
    facts = {
        **{name: server[name] for name in ("id", "name")},
        **{name: given[name] for name in ("host", "to", "attempts")},
        # What comes after no other need not be stopped by nova, only to be started again.
        "version": min(newest, STARTS) if runs and not after[server["id"]] else newest,
        "ran": runs,
        # An older nova leaves only those stopped that were.
        "stop": newest < KEEPS_STOPPED and server["vm_state"] != "stopped",
        "wait": {"evacuate": given["evacuate_timeout"], "boot": given["boot_timeout"], "pause": given["pause"]},
        "wanted": expected(server, "active" if runs else "stopped", left=given["host"]),
    }
    key, title, rank = server["id"], server["name"], order.priority(server)
    moved = {**facts, "part": "evacuate"}
    # What goes to one named host is bounded as everything that a host starts.
    move = Lane(
        f"server:{key}", title, "recover", moved, [], priority=rank, group=given["to"] or "", locks=[f"server:{key}"]
    )
    if not runs:
        return [move]
    earlier = [f"server:{key}", *(f"start:{other}" for other in after[key])]
    start = Lane(
        f"start:{key}", f"{title}, started", "recover", {**facts, "part": "start"}, [], after=earlier, priority=rank
    )
    return [move, start]


def _apart(lanes: list[Lane], captured: Mapping[str, Any]) -> list[Lane]:
    """Members of one anti-affinity group move one after another: together they could land on one host.

    In the order that the lanes have anyway, so that none waits for one that waits for it.
    """
    moving = [lane for lane in lanes if lane.facts["part"] == "evacuate"]
    for group in captured["groups"]:
        together = [lane for lane in moving if lane.facts["id"] in group["members"]]
        if group["policy"] in ("anti-affinity", "soft-anti-affinity"):
            for earlier, later in itertools.pairwise(together):
                later.after.append(earlier.key)
    return lanes


def _room(moving: list[Server], captured: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Whether the targets can take them: what does not fit now is tried again until it does."""
    targets = [given["to"]] if given["to"] else _open_hosts(captured, given)
    short = "not enough, what does not fit waits and is tried again"
    return capacity.notes((server["id"] for server in moving), captured, targets, short)


def _open_hosts(captured: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    return [
        host
        for host, row in captured["computes"].items()
        if host != given["host"] and row["state"] == "up" and (row["status"] == "enabled" or host in given["reserved"])
    ]
