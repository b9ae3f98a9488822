"""/attachments: cinder's own records of who uses which volume."""

import json
from typing import Any

from stackmend.lab.simulated.cinder import rows
from stackmend.lab.simulated.nova import rows as nova
from stackmend.lab.simulated.nova.servers import paged
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import iso
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

_SINCE = 27

_MODES = ["rw", "ro"]


def refusal(volume: Row, attached: list[Row], server: str | None) -> str:
    """Why a volume can't be reserved for a server; empty when it can."""
    if volume["status"].startswith("error"):
        return (
            "Invalid volume: Volume attachments can not be created if the volume is in an error state."
            f" The Volume {volume['id']} currently has a status of: {volume['status']} "
        )
    same_server = bool(attached) and all(row["instance_uuid"] == server for row in attached)
    in_use = volume["status"] == "in-use" and (volume["multiattach"] or same_server)
    if volume["status"] in ("available", "downloading") or in_use:
        return ""
    return (
        f"Invalid volume: Volume {volume['id']} status must be available or downloading to reserve, but the"
        f" current status is {volume['status']}."
    )


def _summary(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "status": row["attach_status"],
        "instance": row["instance_uuid"],
        "volume_id": row["volume_id"],
    }


def _full(row: Row) -> dict[str, Any]:
    return _summary(row) | {
        "attached_at": iso(row["attach_time"]) or "",
        "detached_at": iso(row["detach_time"]) or "",
        "attach_mode": row["attach_mode"],
        "connection_info": json.loads(row["connection_info"] or "{}"),
    }


def _seen(call: Call) -> Row:
    wanted = call.params["attachment"]
    row = rows.attachment(call.cloud, wanted)
    if row is None or not (call.caller.admin or row["project_id"] == call.caller.project_id):
        raise ApiError(404, f"Volume attachment could not be found with filter: attachment_id = {wanted}.")
    return row


def _list(call: Call) -> Reply:
    query = call.query
    found = rows.attachments(call.cloud, server=query.get("instance_id"))
    everyone = call.flag("all_tenants") and call.caller.admin
    found = [
        row
        for row in found
        if (everyone or row["project_id"] == call.caller.project_id)
        and query.get("volume_id", row["volume_id"]) == row["volume_id"]
        and query.get("attach_status", query.get("status", row["attach_status"])) == row["attach_status"]
    ]
    if "updated_at" in query or "created_at" in query:
        found = []  # cinder compares the whole word with the time, and finds nothing
    page, _ = paged(call, found, "id", 1000)
    view = _full if call.request.url.path.endswith("/detail") else _summary
    return Reply(200, {"attachments": [view(row) for row in page]})


def _show(call: Call) -> Reply:
    return Reply(200, {"attachment": _full(_seen(call))})


def _create(call: Call) -> Reply:
    given = call.inner("attachment")
    if not given.get("volume_uuid"):
        raise ApiError(
            400, f"Invalid input for field/attribute attachment. Value: {given}. 'volume_uuid' is a required property"
        )
    if (mode := given.get("mode", "rw")) not in _MODES:
        raise ApiError(400, f"Invalid input for field/attribute mode. Value: {mode}. {mode!r} is not one of {_MODES}.")
    volume_id, server = str(given.get("volume_uuid")), given.get("instance_uuid")
    volume = rows.volume(call.cloud, volume_id)
    if volume is None:
        raise ApiError(404, f"Volume {volume_id} could not be found.")
    why = refusal(volume, rows.attachments(call.cloud, volumes=[volume_id]), server)
    if why:
        raise ApiError(400, why)
    made = rows.reserve(call.cloud, volume_id, server)
    if given.get("connector"):
        _connect(call, made, given["connector"], given.get("mode"))
    call.effect("attachment.create", made, volume=volume_id, server=server)
    row = rows.attachment(call.cloud, made)
    assert row is not None
    return Reply(200, {"attachment": _full(row)})


def _connect(call: Call, attachment: str, connector: dict[str, Any], mode: str | None = None) -> None:
    where = connector.get("host", ""), connector.get("mountpoint", "")
    rows.connect(call.cloud, attachment, *where, connector, mode or connector.get("mode") or "rw")


def _update(call: Call) -> Reply:
    row = _seen(call)
    connector = call.inner("attachment").get("connector")
    if not connector:
        raise ApiError(400, "Invalid input received: Connector is required")
    _connect(call, row["id"], connector)
    call.effect("attachment.update", row["id"], volume=row["volume_id"], host=connector.get("host"))
    return _show(call)


def _complete(call: Call) -> Reply:
    row = _seen(call)
    if "os-complete" not in call.json():
        raise ApiError(400, "There is no such action")
    rows.complete(
        call.cloud, row["id"], row["volume_id"], row["instance_uuid"], row["attached_host"], row["mountpoint"]
    )
    call.effect("attachment.complete", row["id"], volume=row["volume_id"])
    return Reply(204)


def _delete(call: Call) -> Reply:
    row = _seen(call)
    refuse_used_by_nova(call, row)
    rows.drop(call.cloud, row)
    call.effect("attachment.delete", row["id"], volume=row["volume_id"], server=row["instance_uuid"])
    left = rows.attachments(call.cloud, volumes=[row["volume_id"]])
    return Reply(200, {"attachments": [_summary(other) for other in left]})


def refuse_used_by_nova(call: Call, row: Row) -> None:
    """409 for an attachment that nova uses, unless a service asks (OSSA-2023-003)."""
    if not row["instance_uuid"] or not row["connection_info"]:
        return
    if call.cloud.identity.is_service(call.request.headers.get("x-service-token")):
        return
    devices = nova.devices(call.cloud, row["instance_uuid"])
    if any(device["attachment_id"] == row["id"] for device in devices):
        raise ApiError(
            409,
            f"ConflictNovaUsingAttachment: Detach volume from instance {row['instance_uuid']} using the Compute API",
        )


OPERATIONS = (
    Operation("GET", "/attachments", _list, since=_SINCE),
    Operation("GET", "/attachments/detail", _list, since=_SINCE),
    Operation("POST", "/attachments", _create, since=_SINCE),
    Operation("GET", "/attachments/{attachment}", _show, since=_SINCE),
    Operation("PUT", "/attachments/{attachment}", _update, since=_SINCE),
    Operation("DELETE", "/attachments/{attachment}", _delete, since=_SINCE),
    Operation("POST", "/attachments/{attachment}/action", _complete, since=44),
)
