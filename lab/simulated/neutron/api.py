"""The network service: its place, and what there is besides ports."""

import json
from typing import Any

from stackmend.lab.simulated.neutron import bindings, ports
from stackmend.lab.simulated.nova.services import is_fresh
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply, Service

_EXTENSIONS = (
    "agent",
    "binding",
    "binding-extended",
    "standard-attr-timestamp",
    "port-security",
    "provider",
    "revision-if-match",
    "standard-attr-revisions",
    "security-group",
    "availability_zone",
)


def _root(call: Call) -> Reply:
    links = [{"rel": "self", "href": f"{call.cloud.url('network')}/v2.0/"}]
    return Reply(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})


def _resources(call: Call) -> Reply:
    url = f"{call.cloud.url('network')}/v2.0"
    return Reply(
        200,
        {
            "resources": [
                {"name": name, "collection": f"{name}s", "links": [{"rel": "self", "href": f"{url}/{name}s"}]}
                for name in ("network", "subnet", "port")
            ]
        },
    )


def _extensions(_call: Call) -> Reply:
    return Reply(
        200,
        {"extensions": [{"name": a, "alias": a, "description": a, "updated": "", "links": []} for a in _EXTENSIONS]},
    )


def _agent(call: Call, row: Row) -> dict[str, Any]:
    view = {name: row[name] for name in row.keys() if name not in ("load", "resource_versions")}  # noqa: SIM118
    for name in ("created_at", "started_at", "heartbeat_timestamp"):
        view[name] = row[name][:19]
    return view | {
        "admin_state_up": bool(row["admin_state_up"]),
        "configurations": json.loads(row["configurations"]),
        "alive": is_fresh(call.cloud, row["heartbeat_timestamp"]),
    }


def _agents(call: Call) -> Reply:
    if not call.caller.admin:
        return Reply(200, {"agents": []})
    found = call.cloud.neutron.all(
        "SELECT * FROM agents WHERE host LIKE ? AND binary LIKE ? ORDER BY host",
        call.query.get("host", "%"),
        call.query.get("binary", "%"),
    )
    agents = [_agent(call, row) for row in found]
    if "alive" in call.query:
        agents = [agent for agent in agents if agent["alive"] == call.flag("alive")]
    return Reply(200, {"agents": agents})


def _show_agent(call: Call) -> Reply:
    row = call.cloud.neutron.one("SELECT * FROM agents WHERE id = ?", call.params["agent"])
    if row is None or not call.caller.admin:
        raise ApiError(404, f"Agent {call.params['agent']} could not be found.", "AgentNotFound")
    return Reply(200, {"agent": _agent(call, row)})


def _delete_agent(call: Call) -> Reply:
    _show_agent(call)
    call.cloud.neutron.write("DELETE FROM agents WHERE id = ?", call.params["agent"])
    call.effect("agent.delete", call.params["agent"])
    return Reply(204)


def _network(call: Call, row: Row) -> dict[str, Any]:
    subnets = call.cloud.neutron.all("SELECT id FROM subnets WHERE network_id = ?", row["id"])
    return {
        "id": row["id"],
        "name": row["name"],
        "tenant_id": row["project_id"],
        "project_id": row["project_id"],
        "admin_state_up": bool(row["admin_state_up"]),
        "mtu": row["mtu"],
        "status": row["status"],
        "subnets": [subnet["id"] for subnet in subnets],
        "shared": True,
        "availability_zone_hints": [],
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "revision_number": 1,
        "router:external": False,
        "port_security_enabled": True,
        "description": "",
        "tags": [],
        "provider:network_type": "vxlan",
        "provider:physical_network": None,
        "provider:segmentation_id": 1189,
    }


def _subnet(_call: Call, row: Row) -> dict[str, Any]:
    view = {name: row[name] for name in ("id", "name", "network_id", "project_id", "ip_version", "cidr", "gateway_ip")}
    return view | {
        "tenant_id": row["project_id"],
        "enable_dhcp": bool(row["enable_dhcp"]),
        "subnetpool_id": None,
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "service_types": [],
        "revision_number": 0,
        "allocation_pools": [],
        "dns_nameservers": [],
        "host_routes": [],
        "description": "",
        "tags": [],
    }


_VIEWS = {"networks": _network, "subnets": _subnet}


def _listing(table: str) -> Any:
    def listing(call: Call) -> Reply:
        found = call.cloud.neutron.all(f"SELECT * FROM {table} WHERE name LIKE ?", call.query.get("name", "%"))
        wanted = call.query.get("id")
        return Reply(200, {table: [_VIEWS[table](call, row) for row in found if wanted in (None, row["id"])]})

    return listing


def _showing(table: str) -> Any:
    def showing(call: Call) -> Reply:
        row = call.cloud.neutron.one(f"SELECT * FROM {table} WHERE id = ?", call.params["id"])
        if row is None:
            name = table[:-1].capitalize()
            raise ApiError(404, f"{name} {call.params['id']} could not be found.", f"{name}NotFound")
        return Reply(200, {table[:-1]: _VIEWS[table](call, row)})

    return showing


def _empty(name: str) -> Operation:
    return Operation("GET", f"/v2.0/{name}", lambda _call: Reply(200, {name.replace("-", "_"): []}))


def _error(_status: int, message: str, kind: str, _request_id: str) -> Any:
    return {"NeutronError": {"type": kind or "HTTPNotFound", "message": message, "detail": ""}}


SERVICE = Service(
    "network",
    "/network",
    _error,
    (
        Operation("GET", "/", _root, open=True),
        Operation("GET", "/v2.0", _resources),
        Operation("GET", "/v2.0/", _resources),
        Operation("GET", "/v2.0/extensions", _extensions),
        Operation("GET", "/v2.0/agents", _agents),
        Operation("GET", "/v2.0/agents/{agent}", _show_agent),
        Operation("DELETE", "/v2.0/agents/{agent}", _delete_agent),
        *(
            op
            for t in _VIEWS
            for op in (
                Operation("GET", f"/v2.0/{t}", _listing(t)),
                Operation("GET", f"/v2.0/{t}/{{id}}", _showing(t)),
            )
        ),
        *map(_empty, ("security-groups", "routers", "floatingips")),
        *ports.OPERATIONS,
        *bindings.OPERATIONS,
    ),
)
