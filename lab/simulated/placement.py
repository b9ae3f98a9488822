"""placement: providers, inventories, usages, and the allocations of servers on them."""

import re
from typing import Any

from stackmend.lab.simulated.candidates import COLUMNS as _CLASSES
from stackmend.lab.simulated.candidates import RATIOS, candidates
from stackmend.lab.simulated.candidates import TOTALS as _TOTALS
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply, Service, Versions

_TRAITS = ["COMPUTE_NODE", "COMPUTE_VOLUME_ATTACH_WITH_TAG", "COMPUTE_VOLUME_MULTI_ATTACH", "OWNER_NOVA"]
_LINKS = (("inventories", 0), ("usages", 0), ("aggregates", 1), ("traits", 6), ("allocations", 11))


def _provider(call: Call, row: Row) -> dict[str, Any]:
    url = f"/placement/resource_providers/{row['uuid']}"
    links = [{"rel": rel, "href": f"{url}/{rel}"} for rel, minor in _LINKS if call.at_least(minor)]
    view = {
        "uuid": row["uuid"],
        "name": row["name"],
        "generation": row["generation"],
        "links": [{"rel": "self", "href": url}, *links],
    }
    if call.at_least(14):
        view |= {"parent_provider_uuid": None, "root_provider_uuid": row["uuid"]}
    return view


def _providers(call: Call) -> Reply:
    found = call.cloud.lab.all(
        "SELECT * FROM providers WHERE name LIKE ? AND uuid LIKE ? ORDER BY name",
        call.query.get("name", "%"),
        call.query.get("uuid", "%"),
    )
    return Reply(200, {"resource_providers": [_provider(call, row) for row in found]})


def _seen(call: Call) -> Row:
    row = call.cloud.lab.one("SELECT * FROM providers WHERE uuid = ?", call.params["provider"])
    if row is None:
        raise ApiError(404, f"No resource provider with uuid {call.params['provider']} found")
    return row


def _show(call: Call) -> Reply:
    return Reply(200, _provider(call, _seen(call)))


def _inventories(call: Call) -> Reply:
    row = _seen(call)
    inventories = {
        name: {
            "total": row[column],
            "reserved": 0,
            "min_unit": 1,
            "max_unit": row[column],
            "step_size": 1,
            "allocation_ratio": RATIOS.get(name, 1.0),
        }
        for name, column in _TOTALS.items()
    }
    return Reply(200, {"resource_provider_generation": row["generation"], "inventories": inventories})


def _usages(call: Call) -> Reply:
    row = _seen(call)
    used = call.cloud.lab.one(
        "SELECT total(vcpu) AS vcpu, total(memory_mb) AS memory_mb, total(disk_gb) AS disk_gb"
        " FROM allocations"
        " WHERE provider = ?",
        row["uuid"],
    )
    assert used is not None
    usages = {name: int(used[column]) for name, column in _CLASSES.items()}
    return Reply(200, {"resource_provider_generation": row["generation"], "usages": usages})


def _usages_of_project(call: Call) -> Reply:
    project, user = call.query.get("project_id"), call.query.get("user_id", "%")
    if project is None:
        raise ApiError(400, "'project_id' is a required property")
    used = call.cloud.lab.one(
        "SELECT count(DISTINCT consumer) AS consumers, total(vcpu) AS vcpu, total(memory_mb) AS memory_mb,"
        " total(disk_gb) AS disk_gb FROM allocations a JOIN consumers c ON c.uuid = a.consumer"
        " WHERE c.project_id = ? AND c.user_id LIKE ?",
        project,
        user,
    )
    assert used is not None
    usages: dict[str, Any] = {name: int(used[column]) for name, column in _CLASSES.items() if used[column]}
    if call.at_least(38) and usages:
        usages = {"unknown": {**usages, "consumer_count": used["consumers"]}}
    return Reply(200, {"usages": usages})


def _resources(row: Row) -> dict[str, int]:
    return {name: row[column] for name, column in _CLASSES.items() if row[column]}


def _on_provider(call: Call) -> Reply:
    row = _seen(call)
    found = call.cloud.lab.all(
        "SELECT a.*, c.generation FROM allocations a JOIN consumers c ON c.uuid = a.consumer WHERE provider = ?",
        row["uuid"],
    )
    allocations = {a["consumer"]: {"resources": _resources(a), "consumer_generation": a["generation"]} for a in found}
    return Reply(200, {"allocations": allocations, "resource_provider_generation": row["generation"]})


def _traits(call: Call) -> Reply:
    return Reply(200, {"traits": _TRAITS, "resource_provider_generation": _seen(call)["generation"]})


def _aggregates(call: Call) -> Reply:
    return Reply(200, {"aggregates": [], "resource_provider_generation": _seen(call)["generation"]})


def _of_consumer(call: Call) -> Reply:
    consumer = call.params["consumer"]
    found = call.cloud.lab.all(
        "SELECT a.*, p.generation FROM allocations a JOIN providers p ON p.uuid = a.provider WHERE a.consumer = ?",
        consumer,
    )
    body: dict[str, Any] = {
        "allocations": {a["provider"]: {"resources": _resources(a), "generation": a["generation"]} for a in found}
    }
    who = call.cloud.lab.one("SELECT * FROM consumers WHERE uuid = ?", consumer)
    if found and who and call.at_least(12):
        body |= {"project_id": who["project_id"], "user_id": who["user_id"]}
    if found and who and call.at_least(28):
        body["consumer_generation"] = who["generation"]
    if found and call.at_least(38):
        body["consumer_type"] = "unknown"
    return Reply(200, body)


def _replace(call: Call) -> Reply:
    consumer, given, lab = call.params["consumer"], call.json(), call.cloud.lab
    who = lab.one("SELECT * FROM consumers WHERE uuid = ?", consumer)
    kind = given.get("consumer_type", "INSTANCE")
    if call.at_least(38) and not re.fullmatch("[A-Z0-9_]+", kind):
        raise ApiError(400, f"JSON does not validate: {kind!r} does not match '^[A-Z0-9_]+$'")
    if call.at_least(28) and (who["generation"] if who else None) != given.get("consumer_generation"):
        raise ApiError(
            409,
            f"consumer generation conflict - expected {who['generation'] if who else None} but got"
            f" {given.get('consumer_generation')}",
            "placement.concurrent_update",
        )
    for provider in given.get("allocations", {}):
        if lab.one("SELECT 1 FROM providers WHERE uuid = ?", provider) is None:
            raise ApiError(400, f"Allocation for resource provider '{provider}' that does not exist.")
    lab.write("DELETE FROM allocations WHERE consumer = ?", consumer)
    for provider, wanted in given.get("allocations", {}).items():
        amounts = {column: wanted["resources"].get(name, 0) for name, column in _CLASSES.items()}
        lab.insert("allocations", consumer=consumer, provider=provider, **amounts)
    lab.write(
        "INSERT INTO consumers VALUES (?, 1, ?, ?) ON CONFLICT (uuid) DO UPDATE SET generation = generation + 1",
        consumer,
        given.get("project_id"),
        given.get("user_id"),
    )
    call.effect("allocation.update", consumer, allocations=given.get("allocations"))
    return Reply(204)


def _delete(call: Call) -> Reply:
    consumer = call.params["consumer"]
    if not call.cloud.lab.write("DELETE FROM allocations WHERE consumer = ?", consumer):
        raise ApiError(404, f"No allocations for consumer '{consumer}'")
    call.effect("allocation.delete", consumer)
    return Reply(204)


def _root(_call: Call) -> Reply:
    version = {"id": "v1.0", "max_version": "1.39", "min_version": "1.0", "status": "CURRENT"}
    return Reply(200, {"versions": [{**version, "links": [{"rel": "self", "href": ""}]}]})


def _error(status: int, message: str, kind: str, request_id: str) -> Any:
    title, explanation = _EXPLANATIONS.get(status, ("Error", "The server has met an error."))
    error = {
        "status": status,
        "title": title,
        "detail": f"{explanation}\n\n {message if message != explanation else ''}  ",
        "request_id": request_id,
    }
    if status == 406:
        return {"errors": [error | {"max_version": "1.39", "min_version": "1.0"}]}
    return {"errors": [error | {"code": kind or "placement.undefined_code"}]}


def _admin(method: str, path: str, handler: Any, rule: str) -> Operation:
    return Operation(method, path, handler, policy=f"placement:{rule}")


_EXPLANATIONS = {
    400: (
        "Bad Request",
        "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    ),
    403: ("Forbidden", "Access was denied to this resource."),
    404: ("Not Found", "The resource could not be found."),
    406: ("Not Acceptable", "The resource could not be generated that was acceptable to your browser."),
    409: ("Conflict", "There was a conflict when trying to complete your request."),
}
_UNDER = "/resource_providers/{provider}"
SERVICE = Service(
    "placement",
    "/placement",
    _error,
    (
        Operation("GET", "/", _root, open=True),
        _admin("GET", "/resource_providers", _providers, "resource_providers:list"),
        _admin("GET", _UNDER, _show, "resource_providers:show"),
        _admin("GET", f"{_UNDER}/inventories", _inventories, "resource_providers:inventories:list"),
        _admin("GET", f"{_UNDER}/usages", _usages, "resource_providers:usages"),
        _admin("GET", f"{_UNDER}/allocations", _on_provider, "resource_providers:allocations:list"),
        _admin("GET", f"{_UNDER}/traits", _traits, "resource_providers:traits:list"),
        _admin("GET", f"{_UNDER}/aggregates", _aggregates, "resource_providers:aggregates:list"),
        Operation("GET", "/allocation_candidates", candidates, policy="placement:allocation_candidates:list", since=10),
        Operation("GET", "/usages", _usages_of_project, policy="placement:usages", since=9),
        _admin("GET", "/allocations/{consumer}", _of_consumer, "allocations:list"),
        _admin("PUT", "/allocations/{consumer}", _replace, "allocations:update"),
        _admin("DELETE", "/allocations/{consumer}", _delete, "allocations:delete"),
    ),
    Versions("placement", (1, 0), (1, 39)),
    forbidden="Policy does not allow {} to be performed.",
)
