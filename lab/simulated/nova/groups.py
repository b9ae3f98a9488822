"""Server groups and host aggregates."""

from typing import Any

from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import iso, stamp
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

_POLICIES = ("anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity")


def _group(call: Call, row: Row) -> dict[str, Any]:
    members = call.cloud.lab.all("SELECT instance_uuid FROM group_members WHERE group_uuid = ?", row["uuid"])
    view: dict[str, Any] = {
        "id": row["uuid"],
        "name": row["name"],
        "members": [member["instance_uuid"] for member in members],
    }
    if call.at_least(13):
        view |= {"project_id": row["project_id"], "user_id": row["user_id"]}
    if call.at_least(64):
        return view | {"policy": row["policy"], "rules": {}}
    return view | {"policies": [row["policy"]], "metadata": {}}


def _groups(call: Call) -> Reply:
    limit, offset = int(call.query.get("limit", 1000)), int(call.query.get("offset", 0))
    found = call.cloud.lab.all("SELECT * FROM server_groups ORDER BY name LIMIT ? OFFSET ?", limit, offset)
    everyone = call.caller.admin and "all_projects" in call.query
    groups = [_group(call, row) for row in found if everyone or row["project_id"] == call.caller.project_id]
    return Reply(200, {"server_groups": groups})


def _seen_group(call: Call) -> Row:
    row = call.cloud.lab.one("SELECT * FROM server_groups WHERE uuid = ?", call.params["group"])
    if row is None or not (call.caller.admin or row["project_id"] == call.caller.project_id):
        raise ApiError(404, f"Instance group {call.params['group']} could not be found.")
    return row


def _show_group(call: Call) -> Reply:
    return Reply(200, {"server_group": _group(call, _seen_group(call))})


def _make_group(call: Call) -> Reply:
    given = call.inner("server_group")
    policy = given.get("policy") if call.at_least(64) else next(iter(given.get("policies") or [""]))
    if policy not in _POLICIES:
        raise ApiError(
            400,
            f"Invalid input for field/attribute policy. Value: {policy}. {policy!r} is not one of {list(_POLICIES)}",
        )
    made = new_id()
    who = {"project_id": call.caller.project_id, "user_id": call.caller.user_id}
    call.cloud.lab.insert("server_groups", uuid=made, name=given.get("name"), policy=policy, **who)
    row = call.cloud.lab.one("SELECT * FROM server_groups WHERE uuid = ?", made)
    assert row is not None
    return Reply(200, {"server_group": _group(call, row)})


def _delete_group(call: Call) -> Reply:
    group = _seen_group(call)["uuid"]
    call.cloud.lab.write("DELETE FROM group_members WHERE group_uuid = ?", group)
    call.cloud.lab.write("DELETE FROM server_groups WHERE uuid = ?", group)
    return Reply(204)


def _aggregate(call: Call, row: Row) -> dict[str, Any]:
    hosts = call.cloud.lab.all("SELECT host FROM aggregate_hosts WHERE aggregate = ? ORDER BY rowid", row["id"])
    return {
        "id": row["id"],
        "uuid": row["uuid"],
        "name": row["name"],
        "hosts": [host["host"] for host in hosts],
        "metadata": {},
        "created_at": iso(row["created_at"]),
        "updated_at": None,
        "deleted_at": None,
        "deleted": False,
        "availability_zone": None,
    }


def _aggregates(call: Call) -> Reply:
    found = call.cloud.lab.all("SELECT * FROM aggregates ORDER BY id")
    return Reply(200, {"aggregates": [_aggregate(call, row) for row in found]})


def _seen_aggregate(call: Call) -> Row:
    row = call.cloud.lab.one("SELECT * FROM aggregates WHERE id = ?", call.params["aggregate"])
    if row is None:
        raise ApiError(404, f"Aggregate {call.params['aggregate']} could not be found.")
    return row


def _show_aggregate(call: Call) -> Reply:
    return Reply(200, {"aggregate": _aggregate(call, _seen_aggregate(call))})


def _make_aggregate(call: Call) -> Reply:
    name = call.inner("aggregate").get("name")
    if call.cloud.lab.one("SELECT 1 FROM aggregates WHERE name = ?", name):
        raise ApiError(409, f"Aggregate {name} already exists.")
    number = call.cloud.lab.insert("aggregates", uuid=new_id(), name=name, created_at=stamp())
    row = call.cloud.lab.one("SELECT * FROM aggregates WHERE id = ?", number)
    assert row is not None
    view = _aggregate(call, row)
    return Reply(200, {"aggregate": {name: view[name] for name in view if name not in ("hosts", "metadata")}})


def _change_aggregate(call: Call) -> Reply:
    row, given = _seen_aggregate(call), call.json()
    lab, verb = call.cloud.lab, next(iter(given), "")
    if verb not in ("add_host", "remove_host"):
        raise ApiError(400, f"There is no such action: {verb}")
    host = given[verb].get("host")
    if host not in call.cloud.hypervisors.names():
        raise ApiError(404, f"Compute host {host} could not be found.")
    if verb == "remove_host":
        if not lab.write("DELETE FROM aggregate_hosts WHERE aggregate = ? AND host = ?", row["id"], host):
            raise ApiError(404, f"Aggregate {row['id']} has no host {host}.")
    elif lab.one("SELECT 1 FROM aggregate_hosts WHERE aggregate = ? AND host = ?", row["id"], host):
        raise ApiError(409, f"Aggregate {row['id']} already has host {host}.")
    else:
        lab.insert("aggregate_hosts", aggregate=row["id"], host=host)
    return _show_aggregate(call)


def _delete_aggregate(call: Call) -> Reply:
    row = _seen_aggregate(call)
    if call.cloud.lab.one("SELECT 1 FROM aggregate_hosts WHERE aggregate = ?", row["id"]):
        raise ApiError(400, f"Cannot remove host from aggregate {row['id']}. Reason: Host aggregate is not empty.")
    call.cloud.lab.write("DELETE FROM aggregates WHERE id = ?", row["id"])
    return Reply(200)


_AGGREGATES = "/os-aggregates"
_RULE = "os_compute_api:os-aggregates:{}"
OPERATIONS = (
    Operation("GET", "/os-server-groups", _groups),
    Operation("POST", "/os-server-groups", _make_group),
    Operation("GET", "/os-server-groups/{group}", _show_group),
    Operation("DELETE", "/os-server-groups/{group}", _delete_group),
    Operation("GET", _AGGREGATES, _aggregates, policy=_RULE.format("index")),
    Operation("POST", _AGGREGATES, _make_aggregate, policy=_RULE.format("create")),
    Operation("GET", f"{_AGGREGATES}/{{aggregate:int}}", _show_aggregate, policy=_RULE.format("show")),
    Operation("DELETE", f"{_AGGREGATES}/{{aggregate:int}}", _delete_aggregate, policy=_RULE.format("delete")),
    Operation("POST", f"{_AGGREGATES}/{{aggregate:int}}/action", _change_aggregate, policy=_RULE.format("add_host")),
)
