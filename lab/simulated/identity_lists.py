"""Keystone's lists that hold the same in every simulated cloud: roles, domains, regions, services, endpoints."""

from collections.abc import Callable
from typing import Any

from stackmend.lab.simulated.identity import ROLES
from stackmend.lab.simulated.ids import keystone_id
from stackmend.lab.simulated.web import Call, Operation, Reply

Items = Callable[[Call], list[dict[str, Any]]]


def _roles(_call: Call) -> list[dict[str, Any]]:
    common = {"domain_id": None, "description": None, "options": {"immutable": True}}
    return [{"id": keystone_id("role", name), "name": name, **common} for name in ROLES]


def _domains(_call: Call) -> list[dict[str, Any]]:
    domain = {"id": "default", "name": "Default", "description": "The default domain"}
    return [{**domain, "enabled": True, "tags": [], "options": {}}]


def _regions(_call: Call) -> list[dict[str, Any]]:
    return [{"id": "RegionOne", "description": "", "parent_region_id": None}]


def _services(call: Call) -> list[dict[str, Any]]:
    return [
        {"id": entry["id"], "name": entry["name"], "type": entry["type"], "enabled": True}
        for entry in call.cloud.identity.catalog()
    ]


def _endpoints(call: Call) -> list[dict[str, Any]]:
    return [
        {**endpoint, "service_id": entry["id"], "enabled": True}
        for entry in call.cloud.identity.catalog()
        for endpoint in entry["endpoints"]
    ]


def _listing(kind: str, items: Items) -> Operation:
    def listing(call: Call) -> Reply:
        url = f"{call.cloud.url('identity')}/v3/{kind}"
        wanted = {key: value for key, value in call.query.items() if key in ("name", "type", "service_id", "interface")}
        found = [
            {**item, "links": {"self": f"{url}/{item['id']}"}}
            for item in items(call)
            if all(item.get(key) == value for key, value in wanted.items())
        ]
        return Reply(200, {kind: found, "links": {"next": None, "self": url, "previous": None}})

    return Operation("GET", f"/v3/{kind}", listing, policy=f"identity:list_{kind}")


OPERATIONS = (
    _listing("roles", _roles),
    _listing("domains", _domains),
    _listing("regions", _regions),
    _listing("services", _services),
    _listing("endpoints", _endpoints),
)
