"""cinder's os-services and volume types."""

from typing import Any

from stackmend.lab.simulated.nova.services import is_fresh
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import iso
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply


def _service(call: Call, row: Row) -> dict[str, Any]:
    up = is_fresh(call.cloud, row["updated_at"])
    view = {
        "binary": row["binary"],
        "host": row["host"],
        "zone": row["availability_zone"],
        "status": "disabled" if row["disabled"] else "enabled",
        "state": "up" if up else "down",
        "updated_at": iso(row["updated_at"]),
        "disabled_reason": row["disabled_reason"],
    }
    if call.at_least(7):
        view["cluster"] = None
    if row["binary"] == "cinder-volume":
        view |= {"replication_status": row["replication_status"], "active_backend_id": None, "frozen": False}
        if call.at_least(49):
            view["backend_state"] = "up" if up else "down"
    return view


def _services(call: Call) -> Reply:
    found = call.cloud.cinder.all(
        "SELECT * FROM services WHERE deleted = 0 AND host LIKE ? AND binary LIKE ? ORDER BY id",
        call.query.get("host", "%"),
        call.query.get("binary", "%"),
    )
    return Reply(200, {"services": [_service(call, row) for row in found]})


def _type(row: Row) -> dict[str, Any]:
    specs = {"volume_backend_name": "fake"}
    if row["name"] == "multiattach":
        specs["multiattach"] = "<is> True"
    return {
        "id": row["id"],
        "name": row["name"],
        "is_public": bool(row["is_public"]),
        "description": row["description"],
        "extra_specs": specs,
        "qos_specs_id": None,
        "os-volume-type-access:is_public": bool(row["is_public"]),
    }


def _types(call: Call) -> Reply:
    found = call.cloud.cinder.all("SELECT * FROM volume_types WHERE deleted = 0 ORDER BY name")
    return Reply(200, {"volume_types": [_type(row) for row in found]})


def _show_type(call: Call) -> Reply:
    row = call.cloud.cinder.one("SELECT * FROM volume_types WHERE id = ?", call.params["type"])
    if row is None:
        raise ApiError(404, f"Volume type {call.params['type']} could not be found.")
    return Reply(200, {"volume_type": _type(row)})


OPERATIONS = (
    Operation("GET", "/os-services", _services, policy="volume_extension:services:index"),
    Operation("GET", "/types", _types),
    Operation("GET", "/types/{type}", _show_type),
)
