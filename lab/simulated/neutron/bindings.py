"""/ports/{id}/bindings: the bindings of a port, of which one is active."""

from typing import Any

from stackmend.lab.simulated.neutron import rows
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

_POLICY = "rule:get_port_binding"


def _view(row: Row) -> dict[str, Any]:
    view = {name: row[name] for name in ("host", "vif_type", "vnic_type", "status")}
    return view | {"profile": rows.details(row["profile"]), "vif_details": rows.details(row["vif_details"])}


def _of(call: Call) -> Row:
    for row in rows.bindings(call.cloud, call.params["port"]):
        if row["host"] == call.params["host"]:
            return row
    raise ApiError(
        404,
        f"Binding for port {call.params['port']} for host {call.params['host']} could not be found.",
        "PortBindingNotFound",
    )


def _only_services(call: Call, rule: str) -> None:
    if "service" not in call.caller.roles:
        raise ApiError(403, f"rule:{rule} is disallowed by policy", "PolicyNotAuthorized")


def _list(call: Call) -> Reply:
    return Reply(200, {"bindings": [_view(row) for row in rows.bindings(call.cloud, call.params["port"])]})


def _create(call: Call) -> Reply:
    _only_services(call, "create_port_binding")
    port, host = call.params["port"], str(call.inner("binding").get("host", ""))
    if any(row["host"] == host for row in rows.bindings(call.cloud, port)):
        raise ApiError(409, f"Binding for port {port} on host {host} already exists.", "PortBindingAlreadyExists")
    rows.add_inactive(call.cloud, port, host)
    call.effect("port.binding.create", port, host=host)
    made = next(row for row in rows.bindings(call.cloud, port) if row["host"] == host)
    return Reply(201, {"binding": _view(made)})


def _activate(call: Call) -> Reply:
    _only_services(call, "activate")
    row = _of(call)
    if row["status"] == "ACTIVE":
        raise ApiError(
            409,
            f"Binding for port {row['port_id']} on host {row['host']} is already active.",
            "PortBindingAlreadyActive",
        )
    neutron = call.cloud.neutron
    neutron.update("ml2_port_bindings", {"port_id": row["port_id"]}, status="INACTIVE")
    neutron.update("ml2_port_bindings", {"port_id": row["port_id"], "host": row["host"]}, status="ACTIVE")
    rows.touch(call.cloud, row["port_id"])
    call.effect("port.binding.activate", row["port_id"], host=row["host"])
    return Reply(200, {"binding": _view(_of(call))})


def _delete(call: Call) -> Reply:
    _only_services(call, "delete_port_binding")
    row = _of(call)
    for table in ("ml2_port_bindings", "ml2_port_binding_levels"):
        call.cloud.neutron.write(f"DELETE FROM {table} WHERE port_id = ? AND host = ?", row["port_id"], row["host"])
    call.effect("port.binding.delete", row["port_id"], host=row["host"])
    return Reply(204)


OPERATIONS = (
    Operation("GET", "/v2.0/ports/{port}/bindings", _list, policy=_POLICY),
    Operation("POST", "/v2.0/ports/{port}/bindings", _create),
    Operation("PUT", "/v2.0/ports/{port}/bindings/{host}/activate", _activate),
    Operation("DELETE", "/v2.0/ports/{port}/bindings/{host}", _delete),
)
