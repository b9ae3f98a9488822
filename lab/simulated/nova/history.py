"""os-instance-actions: what was asked of a server, by which request, and its events."""

from typing import Any

from stackmend.lab.simulated.ids import host_id
from stackmend.lab.simulated.nova import rows
from stackmend.lab.simulated.nova.servers import paged
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import from_query, iso
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply


def _action(call: Call, row: Row) -> dict[str, Any]:
    view = {name: row[name] for name in ("action", "instance_uuid", "request_id", "user_id", "project_id", "message")}
    view["start_time"] = iso(row["start_time"])
    return {**view, "updated_at": iso(row["updated_at"])} if call.at_least(58) else view


def _event(call: Call, row: Row, project: str) -> dict[str, Any]:
    view = {
        "event": row["event"],
        "start_time": iso(row["start_time"]),
        "finish_time": iso(row["finish_time"]),
        "result": row["result"],
    }
    if call.caller.admin or not call.at_least(51):
        view["traceback"] = row["traceback"]
    if call.at_least(62):
        view["hostId"] = host_id(project, row["host"] or "")
        if call.caller.admin:
            view["host"] = row["host"]
    if call.at_least(84):
        view["details"] = row["details"]
    return view


def _list(call: Call) -> Reply:
    server = rows.instance(call)["uuid"]
    tests, values = ["instance_uuid = ?", "deleted = 0"], [server]
    for name, test in (("changes-since", "updated_at >= ?"), ("changes-before", "updated_at <= ?")):
        if name in call.query and call.at_least(58):
            tests.append(test)
            values.append(from_query(call.query[name]))
    found = call.cloud.nova.all(
        f"SELECT * FROM instance_actions WHERE {' AND '.join(tests)} ORDER BY created_at DESC, id DESC",
        *values,
    )
    page, more = paged(call, found, "request_id", 1000) if call.at_least(58) else (found, False)
    body: dict[str, Any] = {"instanceActions": [_action(call, row) for row in page]}
    if more:
        url = call.request.url.include_query_params(marker=page[-1]["request_id"])
        body["links"] = [{"rel": "next", "href": str(url)}]
    return Reply(200, body)


def _show(call: Call) -> Reply:
    instance, request_id = rows.instance(call), call.params["request"]
    row = call.cloud.nova.one(
        "SELECT * FROM instance_actions WHERE instance_uuid = ? AND request_id = ?",
        instance["uuid"],
        request_id,
    )
    if row is None:
        raise ApiError(404, f"Action {request_id} not found")
    view = _action(call, row)
    if call.caller.admin or call.at_least(51):
        events = call.cloud.nova.all(
            "SELECT * FROM instance_actions_events WHERE action_id = ? ORDER BY created_at DESC, id DESC",
            row["id"],
        )
        view["events"] = [_event(call, event, instance["project_id"]) for event in events]
    return Reply(200, {"instanceAction": view})


OPERATIONS = (
    Operation("GET", "/servers/{server}/os-instance-actions", _list),
    Operation("GET", "/servers/{server}/os-instance-actions/{request}", _show),
)
