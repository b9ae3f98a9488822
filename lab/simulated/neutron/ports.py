"""/ports and their bindings."""

import ipaddress
import json
from typing import Any

from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.neutron import rows
from stackmend.lab.simulated.nova.servers import paged
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import zulu
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

_FILTERS = ("id", "name", "network_id", "device_id", "device_owner", "status", "project_id", "mac_address")
_PLAIN = ("name", "device_id", "device_owner", "admin_state_up")
_KNOWN = {
    *_PLAIN,
    "network_id",
    "fixed_ips",
    "binding:host_id",
    "binding:profile",
    "binding:vnic_type",
    "tenant_id",
    "project_id",
    "security_groups",
    "mac_address",
    "description",
    "port_security_enabled",
    "allowed_address_pairs",
}


def _seen(call: Call) -> Row:
    row = rows.port(call.cloud, call.params["port"])
    if row is None or not (call.caller.admin or row["project_id"] == call.caller.project_id):
        raise ApiError(404, f"Port {call.params['port']} could not be found.", "PortNotFound")
    return row


def _views(call: Call, found: list[Row]) -> list[dict[str, Any]]:
    listed = json.dumps([row["id"] for row in found])
    inside = "IN (SELECT value FROM json_each(?))"
    neutron = call.cloud.neutron
    addresses: dict[str, list[dict[str, str]]] = {}
    for row in neutron.all(f"SELECT * FROM ipallocations WHERE port_id {inside}", listed):
        fixed = {"subnet_id": row["subnet_id"], "ip_address": row["ip_address"]}
        addresses.setdefault(row["port_id"], []).append(fixed)
    active = {
        row["port_id"]: row
        for row in neutron.all(f"SELECT * FROM ml2_port_bindings WHERE status = 'ACTIVE' AND port_id {inside}", listed)
    }
    standard = {
        row["port_id"]: row
        for row in neutron.all(
            "SELECT p.id AS port_id, s.* FROM ports p JOIN standardattributes s ON s.id = p.standard_attr_id"
            f" WHERE p.id {inside}",
            listed,
        )
    }
    return [_view(call, row, addresses.get(row["id"], []), active.get(row["id"]), standard[row["id"]]) for row in found]


def _view(call: Call, row: Row, addresses: list[dict[str, str]], binding: Row | None, standard: Row) -> dict[str, Any]:
    view = {name: row[name] for name in ("id", "name", "network_id", "project_id", "mac_address", "status")}
    view |= {
        "tenant_id": row["project_id"],
        "admin_state_up": bool(row["admin_state_up"]),
        "device_id": row["device_id"],
        "device_owner": row["device_owner"],
        "fixed_ips": addresses,
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "security_groups": [],
        "description": standard["description"] or "",
        "port_security_enabled": True,
        "tags": [],
        "created_at": zulu(standard["created_at"]),
        "updated_at": zulu(standard["updated_at"]),
        "revision_number": standard["revision_number"],
        "binding:vnic_type": binding["vnic_type"] if binding else "normal",
    }
    if not call.caller.admin:
        return view
    shown = rows.details(binding["vif_details"]) if binding else {}
    if binding and binding["vif_type"] == "ovs":
        shown = {**shown, "bound_drivers": {"0": "openvswitch"}}
    return view | {
        "binding:host_id": binding["host"] if binding else "",
        "binding:vif_type": binding["vif_type"] if binding else "unbound",
        "binding:vif_details": shown,
        "binding:profile": rows.details(binding["profile"]) if binding else {},
    }


def _fields(call: Call, views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = call.request.query_params.getlist("fields")
    return [{name: view[name] for name in wanted if name in view} for view in views] if wanted else views


def _list(call: Call) -> Reply:
    tests, values = ["1 = 1"], []
    params = call.request.query_params
    if not call.caller.admin:
        tests.append("project_id = ?")
        values.append(call.caller.project_id)
    for name in _FILTERS:
        asked = params.getlist(name) or (params.getlist("tenant_id") if name == "project_id" else [])
        if asked:
            tests.append(f"{name} IN ({', '.join('?' * len(asked))})")
            values.extend(asked)
    if "binding:host_id" in params:
        tests.append("id IN (SELECT port_id FROM ml2_port_bindings WHERE host = ? AND status = 'ACTIVE')")
        values.append(params["binding:host_id"])
    if "changed_since" in params:
        raise ApiError(400, "['changed_since'] is invalid attribute for filtering", "HTTPBadRequest")
    for wanted in params.getlist("fixed_ips"):
        name, _, value = wanted.partition("=")
        if name == "ip_address":
            tests.append("id IN (SELECT port_id FROM ipallocations WHERE ip_address = ?)")
            values.append(value)
    found = call.cloud.neutron.all(f"SELECT * FROM ports WHERE {' AND '.join(tests)} ORDER BY id", *values)
    page, more = paged(call, found, "id", len(found)) if {"limit", "marker"} & set(params) else (found, False)
    body: dict[str, Any] = {"ports": _fields(call, _views(call, page))}
    links = _page_links(call, page, more)
    return Reply(200, body | ({"ports_links": links} if links else {}))


def _page_links(call: Call, page: list[Row], more: bool) -> list[dict[str, str]]:
    if not page or "limit" not in call.query:
        return []
    url = call.request.url
    following = url.include_query_params(marker=page[-1]["id"])
    before = url.include_query_params(marker=page[0]["id"], page_reverse="True")
    links = [{"rel": "next", "href": str(following)}] if more else []
    return [*links, {"rel": "previous", "href": str(before)}]


def _show(call: Call) -> Reply:
    return Reply(200, {"port": _fields(call, _views(call, [_seen(call)]))[0]})


def _given(call: Call) -> dict[str, Any]:
    given = call.inner("port")
    unknown = sorted(set(given) - _KNOWN)
    if unknown:
        raise ApiError(400, f"Unrecognized attribute(s) '{', '.join(unknown)}'", "HTTPBadRequest")
    return given


def _create(call: Call) -> Reply:
    given, neutron, port = _given(call), call.cloud.neutron, new_id()
    if "network_id" not in given:
        raise ApiError(400, "Failed to parse request. Required attribute 'network_id' not specified", "HTTPBadRequest")
    network = neutron.one("SELECT * FROM networks WHERE id = ?", given.get("network_id"))
    if network is None:
        raise ApiError(404, f"Network {given.get('network_id')} could not be found.", "NetworkNotFound")
    address = rows.make_port(
        call.cloud,
        network,
        given.get("project_id") or given.get("tenant_id") or call.caller.project_id,
        host=given.get("binding:host_id", ""),
        id=port,
        address=_address(call, given),
        **{name: given[name] for name in ("description", "mac_address", *_PLAIN) if given.get(name) is not None},
    )
    call.effect("port.create", port, address=address)
    row = rows.port(call.cloud, port)
    assert row is not None
    return Reply(201, {"port": _views(call, [row])[0]})


def _address(call: Call, given: dict[str, Any]) -> str | None:
    asked = [fixed["ip_address"] for fixed in given.get("fixed_ips") or [] if "ip_address" in fixed]
    if asked and not _in_a_subnet(call, asked[0]):
        raise ApiError(
            400,
            f"IP address {asked[0]} is not a valid IP for any of the subnets on the specified network.",
            "InvalidIpForNetwork",
        )
    if not asked:
        return None
    if call.cloud.neutron.one("SELECT 1 FROM ipallocations WHERE ip_address = ?", asked[0]):
        raise ApiError(
            409,
            f"IP address {asked[0]} already allocated in subnet {given['fixed_ips'][0].get('subnet_id', '')}",
            "IpAddressAlreadyAllocated",
        )
    return str(asked[0])


def _in_a_subnet(call: Call, address: str) -> bool:
    try:
        wanted = ipaddress.ip_address(address)
    except ValueError:
        return False
    subnets = call.cloud.neutron.all("SELECT cidr FROM subnets")
    return any(wanted in ipaddress.ip_network(subnet["cidr"]) for subnet in subnets)


def _update(call: Call) -> Reply:
    row, given = _seen(call), _given(call)
    _check_revision(call, row)
    if any(name.startswith("binding:") for name in given) and not call.caller.admin:
        raise ApiError(
            403,
            "(rule:update_port and rule:update_port:binding:host_id) is disallowed by policy",
            "PolicyNotAuthorized",
        )
    plain = {name: given[name] for name in _PLAIN if name in given}
    if plain:
        call.cloud.neutron.update("ports", {"id": row["id"]}, **plain)
        rows.touch(call.cloud, row["id"])
    if "binding:host_id" in given:
        _refuse_inactive(call, row["id"], given["binding:host_id"])
        rows.bind(call.cloud, row["id"], given["binding:host_id"] or "")
    if "binding:profile" in given:
        profile = json.dumps(given["binding:profile"] or {})
        call.cloud.neutron.update("ml2_port_bindings", {"port_id": row["id"], "status": "ACTIVE"}, profile=profile)
    call.effect("port.update", row["id"], changes=given)
    return _show(call)


def _refuse_inactive(call: Call, port: str, host: str | None) -> None:
    """Neutron fails on its own primary key where an INACTIVE binding to that host is left."""
    if any((row["host"], row["status"]) == (host, "INACTIVE") for row in rows.bindings(call.cloud, port)):
        words = "Request Failed: internal server error while processing your request."
        raise ApiError(500, words, "HTTPInternalServerError")


def _check_revision(call: Call, row: Row) -> None:
    wanted = call.request.headers.get("if-match", "").removeprefix("revision_number=")
    if not wanted:
        return
    found = call.cloud.neutron.one(
        "SELECT revision_number FROM standardattributes WHERE id = ?", row["standard_attr_id"]
    )
    if found and str(found["revision_number"]) != wanted:
        raise ApiError(
            412,
            f"Constrained to {wanted}, but current revision is {found['revision_number']}",
            "RevisionNumberConstraintFailed",
        )


def _delete(call: Call) -> Reply:
    row = _seen(call)
    for table in ("ipallocations", "ml2_port_bindings", "ml2_port_binding_levels"):
        call.cloud.neutron.write(f"DELETE FROM {table} WHERE port_id = ?", row["id"])
    call.cloud.neutron.write("DELETE FROM ports WHERE id = ?", row["id"])
    call.effect("port.delete", row["id"], device=row["device_id"])
    return Reply(204)


OPERATIONS = (
    Operation("GET", "/v2.0/ports", _list),
    Operation("POST", "/v2.0/ports", _create),
    Operation("GET", "/v2.0/ports/{port}", _show),
    Operation("PUT", "/v2.0/ports/{port}", _update),
    Operation("DELETE", "/v2.0/ports/{port}", _delete),
)
