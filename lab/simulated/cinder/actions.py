"""POST /volumes/{id}/action: the resets of an admin, the bootable flag, detaching behind nova's back."""

from typing import Any

from stackmend.lab.simulated.cinder import rows
from stackmend.lab.simulated.cinder.attachments import refuse_used_by_nova
from stackmend.lab.simulated.cinder.volumes import seen
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

_STATUSES = (
    "creating",
    "available",
    "deleting",
    "error",
    "error_deleting",
    "error_managing",
    "managing",
    "attaching",
    "in-use",
    "detaching",
    "maintenance",
    "restoring-backup",
    "error_restoring",
    "reserved",
    "awaiting-transfer",
    "backing-up",
    "error_backing-up",
    "error_extending",
    "downloading",
    "uploading",
    "retyping",
    "extending",
)


def _act(call: Call) -> Reply:
    row = seen(call)
    name, given = next(iter(call.json().items()), ("", None))
    if name not in _ACTIONS:
        raise ApiError(
            400, f"There is no such action: {name}. Verify the request body and Content-Type header and try again."
        )
    return _ACTIONS[name](call, row, given or {})


def _reset_status(call: Call, row: Row, given: dict[str, Any]) -> Reply:
    if not call.caller.admin:
        rule = "volume_extension:volume_admin_actions:reset_status"
        raise ApiError(403, f"Policy doesn't allow {rule} to be performed.")
    wanted = _valid(given)
    attached = rows.attachments(call.cloud, volumes=[row["id"]])
    if wanted.get("status") == "deleting":
        raise ApiError(400, "Cannot reset-state to deleting.")
    if wanted.get("status") == "in-use" and not attached:
        raise ApiError(400, "Cannot reset-state to in-use because volume does not have any attachments.")
    before = {name: row[name] for name in ("status", "attach_status", "migration_status")}
    rows.change(call.cloud, row["id"], **wanted)
    if wanted.get("attach_status") == "detached":
        for attachment in attached:
            rows.drop(call.cloud, attachment)
    if call.cloud.legacy and wanted.get("attach_status") == "detached":
        rows.change(call.cloud, row["id"], instance_uuid=None, mountpoint=None, attached_host=None)
    call.effect(
        "volume.reset-status",
        row["id"],
        wanted=wanted,
        before=before,
        dropped=[a["id"] for a in attached] if wanted.get("attach_status") == "detached" else [],
    )
    return Reply(202)


def _valid(given: dict[str, Any]) -> dict[str, Any]:
    wanted = {name: given[name] for name in ("status", "attach_status", "migration_status") if given.get(name)}
    if not wanted:
        raise ApiError(400, "Must specify 'status', 'attach_status' or 'migration_status' for update.")
    if "status" in wanted:
        wanted["status"] = str(wanted["status"]).lower()
        if wanted["status"] not in _STATUSES:
            raise ApiError(400, f"Volume status: {wanted['status']} is invalid, valid statuses are: {_STATUSES!r}.")
    if wanted.get("attach_status", "attached") not in ("attached", "detached"):
        raise ApiError(
            400,
            f"Volume attach status: {wanted['attach_status']} is invalid, valid statuses are:"
            " ['attached', 'detached'].",
        )
    if wanted.get("migration_status") == "none":
        wanted["migration_status"] = None
    return wanted


def _set_bootable(call: Call, row: Row, given: dict[str, Any]) -> Reply:
    rows.change(call.cloud, row["id"], bootable=bool(given.get("bootable")))
    call.effect("volume.set-bootable", row["id"], bootable=bool(given.get("bootable")))
    return Reply(200)


def _set_image_metadata(call: Call, row: Row, given: dict[str, Any]) -> Reply:
    rows.set_image_metadata(call.cloud, row["id"], given.get("metadata") or {})
    call.effect("volume.set-image-metadata", row["id"], names=sorted(given.get("metadata") or {}))
    return Reply(200, {"metadata": rows.image_metadata(call.cloud, [row["id"]]).get(row["id"], {})})


def _detach(call: Call, row: Row, given: dict[str, Any]) -> Reply:
    attached = rows.attachments(call.cloud, volumes=[row["id"]])
    wanted = given.get("attachment_id")
    if len(attached) > 1 and not wanted:
        raise ApiError(
            400,
            "Invalid volume: Detach volume failed: More than one attachment, but no attachment_id provided.",
        )
    for attachment in attached:
        if wanted in (None, attachment["id"]):
            refuse_used_by_nova(call, attachment)
            rows.drop(call.cloud, attachment)
            call.effect("attachment.delete", attachment["id"], volume=row["id"], server=attachment["instance_uuid"])
    return Reply(202)


def _force_detach(call: Call, row: Row, given: dict[str, Any]) -> Reply:
    if not call.caller.admin:
        rule = "volume_extension:volume_admin_actions:force_detach"
        raise ApiError(403, f"Policy doesn't allow {rule} to be performed.")
    return _detach(call, row, given)


_ACTIONS = {
    "os-reset_status": _reset_status,
    "os-set_bootable": _set_bootable,
    "os-set_image_metadata": _set_image_metadata,
    "os-detach": _detach,
    "os-force_detach": _force_detach,
}

OPERATIONS = (Operation("POST", "/volumes/{volume}/action", _act),)
