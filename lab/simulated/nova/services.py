"""os-services: which nova processes report themselves, and the switches an operator has on them."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import iso, parsed, stamp
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


def service_is_up(cloud: "Cloud", row: Row) -> bool:
    """True when a service reported itself lately and nobody forced it down.

    ``updated_at`` tells less: an operator's switch moves it too.
    """
    if row["forced_down"] or not row["last_seen_up"]:
        return False
    return is_fresh(cloud, row["last_seen_up"])


def is_fresh(cloud: "Cloud", heartbeat: str) -> bool:
    """True when a heartbeat is no older than service_down_time (a second more: rows hold whole seconds)."""
    patience = timedelta(seconds=cloud.settings.service_down_time + 1)
    return datetime.now(UTC) - parsed(heartbeat) <= patience


def compute_service(cloud: "Cloud", host: str | None) -> Row | None:
    """The nova-compute service of a host."""
    return cloud.nova.one("SELECT * FROM services WHERE host = ? AND binary = 'nova-compute' AND deleted = 0", host)


def _view(call: Call, row: Row) -> dict[str, Any]:
    view = {
        "id": row["uuid"] if call.at_least(53) else row["id"],
        "binary": row["binary"],
        "host": row["host"],
        "zone": "nova" if row["binary"] == "nova-compute" else "internal",
        "status": "disabled" if row["disabled"] else "enabled",
        "state": "up" if service_is_up(call.cloud, row) else "down",
        "updated_at": iso(row["updated_at"]),
        "disabled_reason": row["disabled_reason"],
    }
    return {**view, "forced_down": bool(row["forced_down"])} if call.at_least(11) else view


def _list(call: Call) -> Reply:
    found = call.cloud.nova.all(
        "SELECT * FROM services WHERE deleted = 0 AND host LIKE ? AND binary LIKE ? ORDER BY id",
        call.query.get("host", "%"),
        call.query.get("binary", "%"),
    )
    return Reply(200, {"services": [_view(call, row) for row in found]})


def _update(call: Call) -> Reply:
    wanted = call.params["service"]
    row = call.cloud.nova.one("SELECT * FROM services WHERE uuid = ? AND deleted = 0", wanted)
    if row is None:
        raise ApiError(404, f"Service {wanted} could not be found.")
    changes = _changes(call, row)
    return _write(call, row, changes)


def _write(call: Call, row: Row, changes: dict[str, Any]) -> Reply:
    call.cloud.nova.update("services", {"id": row["id"]}, updated_at=stamp(), **changes)
    call.effect("service.update", row["uuid"], host=row["host"], binary=row["binary"], changes=changes)
    return Reply(200, {"service": _view(call, _again(call, row["id"]))})


def _update_by_name(call: Call) -> Reply:
    body = call.json()
    row = call.cloud.nova.one(
        "SELECT * FROM services WHERE host = ? AND binary = ? AND deleted = 0",
        body.get("host"),
        body.get("binary"),
    )
    if row is None:
        raise ApiError(404, f"Could not find binary {body.get('binary')} on host {body.get('host')}.")
    verb = call.params["service"]
    verbs: dict[str, dict[str, Any]] = {
        "enable": {"disabled": False, "disabled_reason": None},
        "disable": {"disabled": True, "disabled_reason": None},
        "disable-log-reason": {"disabled": True, "disabled_reason": body.get("disabled_reason")},
        "force-down": {"forced_down": bool(body.get("forced_down"))},
    }
    changes = verbs.get(verb, {})
    if not changes:
        raise ApiError(404, "Unknown action")
    _refuse_early_return(call, row, changes)
    return _write(call, row, changes)


def _again(call: Call, row_id: int) -> Row:
    row = call.cloud.nova.one("SELECT * FROM services WHERE id = ?", row_id)
    assert row is not None
    return row


def _changes(call: Call, row: Row) -> dict[str, Any]:
    body = call.json()
    changes: dict[str, Any] = {}
    if "status" in body:
        if body["status"] not in ("enabled", "disabled"):
            wrong = body["status"]
            raise ApiError(
                400,
                f"Invalid input for field/attribute status. Value: {wrong}."
                f" {wrong!r} is not one of ['enabled', 'disabled']",
            )
        disabled = body["status"] == "disabled"
        if body.get("disabled_reason") and not disabled:
            raise ApiError(400, "Specifying 'disabled_reason' with status 'enabled' is invalid.")
        changes |= {"disabled": disabled, "disabled_reason": body.get("disabled_reason")}
    if "forced_down" in body:
        changes["forced_down"] = bool(body["forced_down"])
    if not changes:
        raise ApiError(400, "No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    _refuse_early_return(call, row, changes)
    return changes


def _refuse_early_return(call: Call, row: Row, changes: dict[str, Any]) -> None:
    if changes.get("forced_down") is not False or not row["forced_down"] or not call.at_least(11):
        return
    left = call.cloud.nova.one(
        "SELECT 1 FROM migrations WHERE source_compute = ? AND migration_type = 'evacuation'"
        " AND status = 'done'"
        " AND deleted = 0",
        row["host"],
    )
    if left is not None:
        raise ApiError(
            400,
            f"Unable to force up host {row['host']} as `done` evacuation migration records"
            f" remain associated with"
            " the host. Ensure the compute service has been restarted, allowing these records to move to"
            " `completed` before retrying this request.",
        )


def _delete(call: Call) -> Reply:
    wanted = call.params["service"]
    row = call.cloud.nova.one("SELECT * FROM services WHERE uuid = ? AND deleted = 0", wanted)
    if row is None:
        raise ApiError(404, f"Service {wanted} could not be found.")
    used = call.cloud.nova.one("SELECT 1 FROM instances WHERE host = ? AND deleted = 0", row["host"])
    if row["binary"] == "nova-compute" and used is not None:
        raise ApiError(
            409,
            "Unable to delete compute service that is hosting instances. Migrate or delete the instances first.",
        )
    call.cloud.nova.update("services", {"id": row["id"]}, deleted=row["id"], deleted_at=stamp())
    call.effect("service.delete", row["uuid"], host=row["host"], binary=row["binary"])
    return Reply(204)


_RULE = "os_compute_api:os-services:{}"
OPERATIONS = (
    Operation("GET", "/os-services", _list, policy=_RULE.format("list")),
    Operation("PUT", "/os-services/{service:uuid}", _update, policy=_RULE.format("update"), since=53),
    Operation("PUT", "/os-services/{service}", _update_by_name, policy=_RULE.format("update")),
    Operation("DELETE", "/os-services/{service}", _delete, policy=_RULE.format("delete")),
)
