"""/servers: the lists, one server, its metadata, its instance actions."""

import json
from typing import Any

from stackmend.lab.simulated.nova import power, records, rows, views
from stackmend.lab.simulated.nova.status import status, vm_states
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import from_query, stamp
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

_MAX_LIMIT = 1000
_METADATA_LENGTH = 255
_COLUMN_OF_FILTER = {
    "project_id": "project_id",
    "tenant_id": "project_id",
    "user_id": "user_id",
    "uuid": "uuid",
    "vm_state": "vm_state",
    "task_state": "task_state",
    "reservation_id": "reservation_id",
    "image": "image_ref",
}
_ADMIN_FILTERS = {"host": "host", "node": "node"}
_KNOWN = {
    *_COLUMN_OF_FILTER,
    *_ADMIN_FILTERS,
    *("all_tenants", "changes-since", "changes-before", "deleted", "limit", "locked", "marker", "name", "status"),
    *("access_ip_v4", "access_ip_v6", "auto_disk_config", "availability_zone", "config_drive", "created_at"),
    *("description", "display_description", "display_name", "flavor", "hostname", "ip", "ip6", "key_name"),
    *("kernel_id", "launch_index", "launched_at", "locked_by", "not-tags", "not-tags-any", "power_state"),
    *("progress", "ramdisk_id", "root_device_name", "soft_deleted", "sort_dir", "sort_key", "tags", "tags-any"),
    *("terminated_at",),
}


def _brief(call: Call) -> Reply:
    page, more = _page(call, "index")
    servers = [
        {"id": row["uuid"], "name": row["display_name"], "links": views.links(call, row["uuid"])} for row in page
    ]
    return _listing(call, servers, more)


def _detail(call: Call) -> Reply:
    page, more = _page(call, "detail")
    details = views.Details(call, page)
    return _listing(call, [details.view(row) for row in page], more)


def _listing(call: Call, servers: list[dict[str, Any]], more: bool) -> Reply:
    body: dict[str, Any] = {"servers": servers}
    if more:
        url = call.request.url.include_query_params(marker=servers[-1]["id"])
        body["servers_links"] = [{"rel": "next", "href": str(url)}]
    return Reply(200, body)


def _page(call: Call, rule: str) -> tuple[list[Row], bool]:
    _check_query(call)
    tests, values = _tests(call, rule)
    found = call.cloud.nova.all(
        f"SELECT uuid, vm_state, task_state FROM instances WHERE {' AND '.join(tests)}"
        " ORDER BY created_at DESC, id DESC",
        *values,
    )
    wanted = call.query.get("status", "").upper()
    if wanted:
        found = [row for row in found if status(row["vm_state"], row["task_state"]) == wanted]
    page, more = paged(call, found, "uuid", _MAX_LIMIT)
    whole = call.cloud.nova.all(
        "SELECT * FROM instances WHERE uuid IN (SELECT value FROM json_each(?)) ORDER BY created_at DESC, id DESC",
        json.dumps([row["uuid"] for row in page]),
    )
    return whole, more


def _check_query(call: Call) -> None:
    """Since 2.75 a word that is no filter is refused."""
    for name in call.query:
        if call.at_least(75) and name not in _KNOWN:
            raise ApiError(400, f"'{name}' does not match any of the regexes: '^_'")
    wanted = call.query.get("status", "").upper()
    if wanted and not vm_states(wanted):
        raise ApiError(400, "Invalid status value")


def paged(call: Call, found: list[Row], key: str, most: int) -> tuple[list[Row], bool]:
    """The page that ``limit`` and ``marker`` ask for, and whether more follows; 400 for a bad one."""
    marker = call.query.get("marker")
    if marker:
        places = [place for place, row in enumerate(found) if row[key] == marker]
        if not places:
            raise ApiError(400, f"marker [{marker}] not found")
        found = found[places[0] + 1 :]
    asked = call.query.get("limit", str(most))
    if not asked.isdigit():
        raise ApiError(
            400, f"Invalid input for query parameters limit. Value: {asked}. {asked!r} does not match '^[0-9]*$'"
        )
    limit = min(int(asked), most)
    return found[:limit], len(found) > limit > 0


def _tests(call: Call, rule: str) -> tuple[list[str], list[Any]]:
    query = call.query
    everyone = call.flag("all_tenants")
    if everyone and not call.caller.admin:
        raise ApiError(403, f"Policy doesn't allow os_compute_api:servers:{rule}:get_all_tenants to be performed.")
    tests, values = _deleted_test(call)
    if not everyone:
        tests.append("project_id = ?")
        values.append(call.caller.project_id)
    columns = _COLUMN_OF_FILTER | (_ADMIN_FILTERS if call.caller.admin else {})
    for name, column in columns.items():
        if name in query and (everyone or column != "project_id"):
            tests.append(f"{column} = ?")
            values.append(query[name])
    if "name" in query:
        tests.append("display_name LIKE ?")
        values.append(f"%{query['name'].strip('^$')}%")
    if "status" in query:
        states = vm_states(query["status"].upper())
        tests.append(f"vm_state IN ({', '.join('?' * len(states))})")
        values.extend(states)
    return tests, values


def _deleted_test(call: Call) -> tuple[list[str], list[Any]]:
    since = call.query.get("changes-since")
    if since is None:
        return (["deleted != 0"] if call.flag("deleted") and call.caller.admin else ["deleted = 0"]), []
    alive = ["deleted = 0"] if call.query.get("deleted", "").lower() == "false" else []
    try:
        return [*alive, "coalesce(updated_at, created_at) >= ?"], [from_query(since)]
    except ValueError as error:
        raise ApiError(
            400,
            f"Invalid input for query parameters changes-since. Value: {since}. '{since}' is not a 'date-time'",
        ) from error


def _show(call: Call) -> Reply:
    row = rows.instance(call)
    return Reply(200, {"server": views.Details(call, [row]).view(row, single=True)})


def _delete(call: Call) -> Reply:
    row = rows.instance(call)
    records.begin(call.cloud, row["uuid"], "delete", call.origin)
    call.cloud.background(power.delete(call.cloud, row, call.origin))
    return Reply(204)


def _update(call: Call) -> Reply:
    row = rows.instance(call)
    given = call.inner("server")
    columns = {
        column: given[name]
        for name, column in (("name", "display_name"), ("description", "display_description"))
        if name in given
    }
    rows.change(call.cloud, row["uuid"], **columns)
    call.effect("server.update", row["uuid"], changes=columns)
    changed = rows.instance(call)
    return Reply(200, {"server": views.Details(call, [changed]).view(changed, single=True)})


def _metadata(call: Call) -> Reply:
    server = rows.instance(call)["uuid"]
    return Reply(200, {"metadata": rows.metadata(call.cloud, [server])[server]})


def _set_metadata(call: Call) -> Reply:
    server = rows.instance(call)["uuid"]
    given = call.inner("metadata")
    _check_metadata(given)
    if call.request.method == "PUT":
        for key in set(rows.metadata(call.cloud, [server])[server]) - set(given):
            rows.drop_metadata(call.cloud, server, key)
    for key, value in given.items():
        rows.set_metadata(call.cloud, server, key, str(value))
    call.effect("server.metadata", server, metadata=given)
    return _metadata(call)


def _check_metadata(given: dict[str, Any]) -> None:
    for key, value in given.items():
        wrong = f"Invalid input for field/attribute {key}. Value: {value}. {value!r}"
        if not isinstance(value, str):
            raise ApiError(400, f"{wrong} is not of type 'string'")
        if len(value) > _METADATA_LENGTH:
            raise ApiError(400, f"{wrong} is too long")


def _one_metadata(call: Call) -> Reply:
    server, key = rows.instance(call)["uuid"], call.params["key"]
    found = rows.metadata(call.cloud, [server])[server]
    if call.request.method == "PUT":
        given = call.inner("meta")
        _check_metadata(given)
        if list(given) != [key]:
            raise ApiError(400, "Request body and URI mismatch")
        found = {key: given[key]}
        rows.set_metadata(call.cloud, server, key, found[key])
        call.effect("server.metadata", server, metadata=found)
    if key not in found:
        raise ApiError(404, "Metadata item was not found")
    return Reply(200, {"meta": {key: found[key]}})


def _drop_metadata(call: Call) -> Reply:
    server, key = rows.instance(call)["uuid"], call.params["key"]
    if not rows.drop_metadata(call.cloud, server, key):
        raise ApiError(404, "Metadata item was not found")
    call.effect("server.metadata", server, dropped=key, at=stamp())
    return Reply(204)


OPERATIONS = (
    Operation("GET", "/servers", _brief),
    Operation("GET", "/servers/detail", _detail),
    Operation("GET", "/servers/{server}", _show),
    Operation("PUT", "/servers/{server}", _update),
    Operation("DELETE", "/servers/{server}", _delete),
    Operation("GET", "/servers/{server}/metadata", _metadata),
    Operation("POST", "/servers/{server}/metadata", _set_metadata),
    Operation("PUT", "/servers/{server}/metadata", _set_metadata),
    Operation("GET", "/servers/{server}/metadata/{key}", _one_metadata),
    Operation("PUT", "/servers/{server}/metadata/{key}", _one_metadata),
    Operation("DELETE", "/servers/{server}/metadata/{key}", _drop_metadata),
)
