"""/volumes: the lists, one volume, create, delete, and the admin's resets."""

import asyncio
import json
from typing import Any

from stackmend.lab.simulated.cinder import rows
from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.nova.servers import paged
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import from_query, iso, stamp
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

_DELETABLE = ("available", "error", "error_restoring", "error_extending", "error_managing")
_TIME_TESTS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "neq": "!="}


def seen(call: Call) -> Row:
    """The volume the path names, when the caller may see it; 404 otherwise."""
    row = rows.volume(call.cloud, call.params["volume"])
    if row is None or not (call.caller.admin or row["project_id"] == call.caller.project_id):
        raise ApiError(404, f"Volume {call.params['volume']} could not be found.")
    return row


def _links(call: Call, volume: str) -> list[dict[str, str]]:
    root, project = call.cloud.url("volume"), call.caller.project_id
    return [
        {"rel": "self", "href": f"{root}/v3/{project}/volumes/{volume}"},
        {"rel": "bookmark", "href": f"{root}/{project}/volumes/{volume}"},
    ]


def views(call: Call, found: list[Row]) -> list[dict[str, Any]]:
    """Volumes in full."""
    ids = [row["id"] for row in found]
    attached: dict[str, list[dict[str, Any]]] = {volume: [] for volume in ids}
    for row in rows.attachments(call.cloud, volumes=ids):
        if row["attach_status"] == "attached":
            attached[row["volume_id"]].append(_attachment(call, row))
    types = {row["id"]: row["name"] for row in call.cloud.cinder.all("SELECT id, name FROM volume_types")}
    metadata, images = _metadata(call, ids), rows.image_metadata(call.cloud, ids)
    return [
        _view(call, row, attached[row["id"]], types, metadata.get(row["id"], {}))
        | ({"volume_image_metadata": images[row["id"]]} if row["id"] in images else {})
        for row in found
    ]


def _metadata(call: Call, ids: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in call.cloud.cinder.all(
        "SELECT volume_id, key, value FROM volume_metadata WHERE deleted = 0"
        " AND volume_id IN (SELECT value FROM json_each(?))",
        json.dumps(ids),
    ):
        found.setdefault(row["volume_id"], {})[row["key"]] = row["value"]
    return found


def _attachment(call: Call, row: Row) -> dict[str, Any]:
    view = {
        "id": row["volume_id"],
        "attachment_id": row["id"],
        "volume_id": row["volume_id"],
        "server_id": row["instance_uuid"],
        "host_name": row["attached_host"] if call.caller.admin else None,
        "device": row["mountpoint"],
        "attached_at": iso(row["attach_time"]),
    }
    if call.cloud.legacy:
        view.pop("attachment_id")
    return view


def _view(
    call: Call, row: Row, attached: list[dict[str, Any]], types: dict[str, str], metadata: dict[str, str]
) -> dict[str, Any]:
    view = {
        "id": row["id"],
        "status": row["status"],
        "size": row["size"],
        "availability_zone": row["availability_zone"],
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
        "name": row["display_name"],
        "description": row["display_description"],
        "volume_type": types.get(row["volume_type_id"]),
        "snapshot_id": row["snapshot_id"],
        "source_volid": row["source_volid"],
        "metadata": metadata,
        "links": _links(call, row["id"]),
        "user_id": row["user_id"],
        "bootable": "true" if row["bootable"] else "false",
        "encrypted": bool(row["encryption_key_id"]),
        "replication_status": row["replication_status"],
        "consistencygroup_id": None,
        "multiattach": bool(row["multiattach"]),
        "attachments": attached,
        "migration_status": row["migration_status"],
    }
    return view | _later_fields(call, row) | (_admin_fields(row) if call.caller.admin else {})


def _later_fields(call: Call, row: Row) -> dict[str, Any]:
    fields: list[tuple[int, str, Any]] = [
        (13, "group_id", None),
        (21, "provider_id", row["provider_id"]),
        (48, "shared_targets", bool(row["shared_targets"])),
        (48, "service_uuid", row["service_uuid"]),
        (61, "cluster_name", row["cluster_name"]),
        (63, "volume_type_id", row["volume_type_id"]),
        (65, "consumes_quota", bool(row["use_quota"])),
    ]
    return {name: value for minor, name, value in fields if call.at_least(minor)}


def _admin_fields(row: Row) -> dict[str, Any]:
    return {
        "os-vol-tenant-attr:tenant_id": row["project_id"],
        "os-vol-mig-status-attr:migstat": row["migration_status"],
        "os-vol-mig-status-attr:name_id": row["_name_id"],
        "os-vol-host-attr:host": row["host"],
    }


def _page(call: Call) -> tuple[list[Row], bool]:
    query = call.query
    tests, values = ["deleted = 0"], []
    if not (call.flag("all_tenants") and call.caller.admin):
        tests.append("project_id = ?")
        values.append(call.caller.project_id)
    for name, column in (
        ("project_id", "project_id"),
        ("status", "status"),
        ("name", "display_name"),
        ("id", "id"),
    ):
        if name in query and not (column == "project_id" and not call.flag("all_tenants")):
            tests.append(f"{column} = ?")
            values.append(query[name])
    if "host" in query and call.caller.admin:
        tests.append("host = ?")
        values.append(query["host"])
    for name in ("created_at", "updated_at"):
        for test, moment in _time_tests(call, name):
            tests.append(f"{name} {test} ?")
            values.append(moment)
    found = call.cloud.cinder.all(
        f"SELECT * FROM volumes WHERE {' AND '.join(tests)} ORDER BY created_at DESC, id DESC", *values
    )
    marker = query.get("marker")
    if marker and rows.volume(call.cloud, marker) is None:
        raise ApiError(404, f"Volume {marker} could not be found.")
    if not query.get("limit", "1").isdigit():
        raise ApiError(400, "limit param must be an integer")
    return paged(call, found, "id", 1000)


def _time_tests(call: Call, name: str) -> list[tuple[str, str]]:
    """``updated_at=gt:2026-11-21T06:46:20,lt:...`` (3.60) as SQL comparisons."""
    if name not in call.query or not call.at_least(60):
        return []
    tests = []
    for part in call.query[name].split(","):
        operator, _, moment = part.partition(":")
        try:
            tests.append((_TIME_TESTS[operator], from_query(moment)))
        except (KeyError, ValueError) as error:
            raise ApiError(400, f"Invalid filter {name}: {part}") from error
    return tests


def _list(call: Call) -> Reply:
    page, more = _page(call)
    if call.request.url.path.endswith("/detail"):
        volumes = views(call, page)
    else:
        volumes = [{"id": r["id"], "name": r["display_name"], "links": _links(call, r["id"])} for r in page]
    body: dict[str, Any] = {"volumes": volumes}
    if more:
        url = call.request.url.include_query_params(marker=page[-1]["id"])
        body["volumes_links"] = [{"rel": "next", "href": str(url)}]
    return Reply(200, body)


def _show(call: Call) -> Reply:
    return Reply(200, {"volume": views(call, [seen(call)])[0]})


def _create(call: Call) -> Reply:
    given = call.inner("volume")
    if not given.get("size"):
        raise ApiError(
            400, f"Invalid input received: Invalid volume size provided for create request: {given.get('size')}"
        )
    volume = new_id()
    kind = call.cloud.cinder.one("SELECT id FROM volume_types WHERE name = ?", given.get("volume_type") or "fake")
    call.cloud.cinder.insert(
        "volumes",
        id=volume,
        created_at=stamp(),
        deleted=False,
        size=int(given.get("size") or 1),
        display_name=given.get("name"),
        display_description=given.get("description"),
        status="creating",
        attach_status="detached",
        bootable=bool(given.get("imageRef")),
        multiattach=bool(given.get("multiattach", False)),
        user_id=call.caller.user_id,
        project_id=call.caller.project_id,
        availability_zone="nova",
        volume_type_id=kind["id"] if kind else "",
        use_quota=True,
        shared_targets=False,
    )
    call.effect("volume.create", volume, size=given.get("size"))
    call.cloud.background(_created(call, volume))
    row = rows.volume(call.cloud, volume)
    assert row is not None
    return Reply(202, {"volume": views(call, [row])[0]})


async def _created(call: Call, volume: str) -> None:
    await asyncio.sleep(call.cloud.settings.create_seconds)
    rows.change(call.cloud, volume, status="available", host="sim-ctl@fake1#fake", launched_at=stamp())


def _delete(call: Call) -> Reply:
    row = seen(call)
    if (row["status"] not in _DELETABLE and not call.flag("force")) or rows.attachments(
        call.cloud, volumes=[row["id"]]
    ):
        raise ApiError(
            400,
            "Invalid volume: Volume status must be available or error or error_restoring or"
            " error_extending or"
            " error_managing and must not be migrating, attached, belong to a group, have"
            " snapshots, awaiting a"
            " transfer, or be disassociated from snapshots after volume transfer.",
        )
    rows.change(call.cloud, row["id"], status="deleting")
    call.effect("volume.delete", row["id"])
    call.cloud.background(_deleted(call, row["id"]))
    return Reply(202)


async def _deleted(call: Call, volume: str) -> None:
    await asyncio.sleep(call.cloud.settings.create_seconds)
    rows.delete(call.cloud, volume)


OPERATIONS = (
    Operation("GET", "/volumes", _list),
    Operation("GET", "/volumes/detail", _list),
    Operation("POST", "/volumes", _create),
    Operation("GET", "/volumes/{volume}", _show),
    Operation("DELETE", "/volumes/{volume}", _delete),
)
