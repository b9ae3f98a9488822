"""The draft of a relocation: who is moved, in which order, with which rows, and what is refused.

Decided from the capture alone; the steps themselves are in flows/relocate_host.py.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.plan import Lane, Verdict
from stackmend.engine.procedures import Draft
from stackmend.errors import BadInput
from stackmend.flows import fencing_stage, movable, order, relocatable
from stackmend.tasks import relocation
from stackmend.tasks.scope import names_of
from stackmend.tasks.verification import expected

OURS = "stackmend: relocate-host"
SECONDS_PER_SERVER = 20.0
Server = dict[str, Any]


def draft(captured: dict[str, Any], given: Mapping[str, Any]) -> Draft:
    """The fence, a lane for each server that is moved, and the hold."""
    if captured["legacy"]:
        raise BadInput("this cinder keeps attachments in the volumes row: no second one can be made for another host")
    fencing_stage.check(captured, given)
    _check_names(captured, given)
    verdicts, moving = _judged(captured, given)
    if not moving:
        return Draft([], verdicts, ["no server can be moved: see the verdicts"])
    after, notes = order.dependencies([server for server in moving if movable.ran(server)], captured["groups"])
    after = {server["id"]: after.get(server["id"], []) for server in moving}
    after = order.apart(moving, after, _sharing(moving))
    depth = order.depths(after)
    lanes = [_lane(server, captured, given, after) for server in moving]
    lanes.sort(key=lambda lane: (depth[lane.facts["id"]], lane.priority, lane.title))
    hold = Lane("cloud:hold", f"{given['host']} is held", "hold", {"host": given["host"]}, [])
    notes = [*_notes(captured, given), *notes]
    longest = 2 + max(depth.values())
    return Draft(
        [fencing_stage.lane(captured, given, OURS), *lanes, hold], verdicts, notes, SECONDS_PER_SERVER * longest
    )


def _judged(captured: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[list[Verdict], list[Server]]:
    """A verdict for each server; one that there is no room for after those before it is not moved."""
    rules = relocatable.Rules(given["host"], given["to"], given["shared_disks"], given["consent"])
    room = dict(captured["free"].get(given["to"], {}))
    verdicts: list[Verdict] = []
    moving: list[Server] = []
    for server in sorted(captured["servers"], key=lambda item: (order.priority(item), item["name"])):
        verdict, why = relocatable.judge(server, captured, rules)
        if verdict == "ready":
            lacking = _lacking(relocatable.resources(server, captured), room)
            near = _neighbour(server, captured, given["to"], moving)
            verdict, why = ("impossible", lacking or near) if lacking or near else (verdict, why)
        if verdict == "ready":
            moving.append(server)
            for name, amount in relocatable.resources(server, captured).items():
                room[name] -= amount
        verdicts.append(Verdict(f"server:{server['id']}", server["name"], verdict, why))
    return verdicts, moving


def _check_names(captured: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """A name that was mistyped must not be consented to in silence."""
    for name in given["consent"]:
        named = [server for server in captured["servers"] if name in names_of(server)]
        if name != "all" and len(named) != 1:
            many = f"there are {len(named)} servers named {name} here: give the id of one"
            raise BadInput(many if named else f"there is no server {name} among those that would be moved")


def _lacking(wanted: Mapping[str, int], room: Mapping[str, int]) -> str:
    for name, amount in wanted.items():
        if room.get(name, 0) < amount:
            return f"no room on the target: it needs {amount} {name}, and {max(0, room.get(name, 0))} is left there"
    return ""


def _neighbour(server: Server, captured: Mapping[str, Any], target: str, moving: list[Server]) -> str:
    """A member of its anti-affinity group that is, or will be, on the target: nova checks that nowhere here."""
    there = {item["id"] for item in moving} | set(captured["on_target"])
    for group in captured["groups"]:
        near = sorted((set(group["members"]) - {server["id"]}) & there)
        if group["policy"] == "anti-affinity" and server["id"] in group["members"] and near:
            return f"server {near[0]} of its anti-affinity group {group['name']} is on {target}, or goes there"
    return ""


def _sharing(moving: list[Server]) -> list[list[str]]:
    """Servers that share a volume: cinder refuses an attachment while another is being made."""
    found: dict[str, list[str]] = {}
    for server in moving:
        for disk in server["disks"]:
            found.setdefault(disk["volume_id"], []).append(server["id"])
    return list(found.values())


def _lane(
    server: Server, captured: Mapping[str, Any], given: Mapping[str, Any], after: Mapping[str, list[str]]
) -> Lane:
    key, runs = server["id"], movable.ran(server)
    held, nodes = captured["allocations"][key], captured["nodes"]
    facts = {
        **{name: server[name] for name in ("id", "name", "disks")},
        "host": given["host"],
        "to": given["to"],
        "row": captured["instances"][key]["id"],
        "values": _values(captured, given["to"]),
        "was": {name: captured["instances"][key][name] for name in ("host", "node")},
        "tombstone": _tombstone(server, captured, given),
        "held": {
            "resources": relocatable.resources(server, captured),
            **{name: held[name] for name in ("project", "user", "generation")},
            "source": nodes["source"]["uuid"],
            "target": nodes["target"]["uuid"],
        },
        "connector": captured["connector"],
        "version": captured["attachment_version"],
        "runs": runs,
        "wanted": expected(
            server,
            "active" if runs else server["vm_state"],
            {disk["volume_id"]: "in-use" for disk in server["disks"]},
            left=given["host"],
        ),
        "wait": {name: given[f"{name}_timeout"] for name in ("port", "attach", "boot")},
    }
    return Lane(
        key=f"server:{key}",
        title=server["name"],
        stage="relocate",
        facts=facts,
        steps=[],
        after=[f"server:{earlier}" for earlier in after[key]],
        priority=order.priority(server),
        group=given["to"],
        locks=[f"server:{key}", *(f"volume:{disk['volume_id']}" for disk in server["disks"])],
    )


def _values(captured: Mapping[str, Any], target: str) -> dict[str, Any]:
    """What nova itself writes when a server settles on a host (nova.compute.resource_tracker, its conductor)."""
    node = captured["nodes"]["target"]
    values = {
        "host": target,
        "node": node["hypervisor_hostname"],
        "launched_on": target,
        "availability_zone": captured["computes"][target]["zone"],
    }
    return {**values, "compute_id": node["id"]} if captured["compute_id"] else values


def _tombstone(server: Server, captured: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The migration record, as an evacuation leaves it; what this nova's table does not have is left out."""
    row, nodes = captured["instances"][server["id"]], captured["nodes"]
    values = {
        "created_at": captured["taken_at"],
        "updated_at": captured["taken_at"],
        "uuid": relocation.record_id(server["id"], given["host"], captured["taken_at"]),
        "instance_uuid": server["id"],
        "migration_type": "evacuation",
        "status": "done",
        "source_compute": given["host"],
        "source_node": nodes["source"]["hypervisor_hostname"],
        "dest_compute": given["to"],
        "dest_node": nodes["target"]["hypervisor_hostname"],
        "dest_host": nodes["target"]["host_ip"],
        "old_instance_type_id": row["instance_type_id"],
        "new_instance_type_id": row["instance_type_id"],
        "user_id": row["user_id"],
        "project_id": row["project_id"],
        "dest_compute_id": nodes["target"]["id"],
        "cross_cell_move": 0,
        "hidden": 0,
        "deleted": 0,
    }
    return {name: value for name, value in values.items() if name in captured["migration_columns"]}


def _notes(captured: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    notes = ["this writes nova's own tables: evacuate-host does the same through nova, and is to be preferred"]
    if captured["connector"]:
        notes.append(f"volumes are connected on {given['to']} as {captured['connector_from']} say")
    zones = {name: captured["computes"][name]["zone"] for name in (given["host"], given["to"])}
    if len(set(zones.values())) > 1:
        notes.append(
            f"{given['to']} is in zone {zones[given['to']]}: a server that was asked into {zones[given['host']]} is in "
            "another one then, and nova would not move it there"
        )
    return notes
