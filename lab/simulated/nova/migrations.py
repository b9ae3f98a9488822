"""Migration records: how a move begins, goes on and ends, and the two lists of them."""

from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.nova import rows
from stackmend.lab.simulated.nova.servers import paged
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import from_query, iso, stamp
from stackmend.lab.simulated.web import ApiError, Call, Operation, Origin, Reply

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

IN_PROGRESS = ("queued", "preparing", "running", "post-migrating")
_FILTERS = {
    "instance_uuid": "instance_uuid = ?",
    "status": "status = ?",
    "migration_type": "migration_type = ?",
    "source_compute": "source_compute = ?",
    "user_id": "user_id = ?",
    "project_id": "project_id = ?",
    "changes-since": "updated_at >= ?",
    "changes-before": "updated_at <= ?",
}
_PAGING = ("host", "hidden", "limit", "marker")


def begin(cloud: "Cloud", row: Row, kind: str, status: str, origin: Origin, **columns: Any) -> Row:
    """A new record of a server's move away from where it is; the target is written once it is known."""
    number = cloud.nova.insert(
        "migrations",
        created_at=stamp(),
        updated_at=stamp(),
        source_compute=row["host"],
        status=status,
        instance_uuid=row["uuid"],
        migration_type=kind,
        hidden=False,
        uuid=new_id(),
        deleted=0,
        user_id=origin.caller.user_id,
        project_id=origin.caller.project_id,
        **columns,
    )
    found = cloud.nova.one("SELECT * FROM migrations WHERE id = ?", number)
    assert found is not None
    return found


def change(cloud: "Cloud", migration: Row, status: str, **columns: Any) -> None:
    """Write a migration's status, and what else is known by then."""
    cloud.nova.update("migrations", {"id": migration["id"]}, status=status, updated_at=stamp(), **columns)


def _view(call: Call, row: Row) -> dict[str, Any]:
    names = ("id", "source_compute", "source_node", "dest_compute", "dest_node", "dest_host", "status", "instance_uuid")
    view = {name: row[name] for name in (*names, "old_instance_type_id", "new_instance_type_id")}
    view |= {"created_at": iso(row["created_at"]), "updated_at": iso(row["updated_at"])}
    if call.at_least(23):
        view["migration_type"] = row["migration_type"]
    if call.at_least(59):
        view["uuid"] = row["uuid"]
    if call.at_least(80):
        view |= {"user_id": row["user_id"], "project_id": row["project_id"]}
    return view


def _list(call: Call) -> Reply:
    tests, values = ["deleted = 0"], []
    for name in call.query:
        if name not in _FILTERS and name not in _PAGING:
            raise ApiError(400, f"Additional properties are not allowed ('{name}' was unexpected)")
    for name, test in _FILTERS.items():
        if name in call.query:
            tests.append(test)
            value = call.query[name]
            values.append(from_query(value) if name.startswith("changes") else value)
    if "host" in call.query:
        tests.append("(source_compute = ? OR dest_compute = ?)")
        values += [call.query["host"]] * 2
    order = "created_at DESC, id DESC" if call.at_least(59) else "id"
    found = call.cloud.nova.all(f"SELECT * FROM migrations WHERE {' AND '.join(tests)} ORDER BY {order}", *values)
    page, more = paged(call, found, "uuid", 1000) if call.at_least(59) else (found, False)
    body: dict[str, Any] = {"migrations": [_view(call, row) for row in page]}
    if more:
        url = call.request.url.include_query_params(marker=page[-1]["uuid"])
        body["migrations_links"] = [{"rel": "next", "href": str(url)}]
    return Reply(200, body)


def _live_ones(call: Call) -> list[Row]:
    found = call.cloud.nova.all(
        "SELECT * FROM migrations WHERE instance_uuid = ? AND migration_type = 'live-migration'"
        " AND status IN (SELECT value FROM json_each(?))",
        rows.instance(call)["uuid"],
        str(list(IN_PROGRESS)).replace("'", '"'),
    )
    return list(found)


def _in_progress(call: Call) -> Reply:
    return Reply(200, {"migrations": [_view(call, row) for row in _live_ones(call)]})


def _show(call: Call) -> Reply:
    for row in _live_ones(call):
        if str(row["id"]) == call.params["migration"]:
            return Reply(200, {"migration": _view(call, row)})
    raise ApiError(
        404,
        f"Live migration {call.params['migration']} for server {call.params['server']} is not in progress.",
    )


_RULE = "os_compute_api:{}"
_OF = "/servers/{server}/migrations"
_ONE = f"{_OF}/{{migration}}"
OPERATIONS = (
    Operation("GET", "/os-migrations", _list, policy=_RULE.format("os-migrations:index")),
    Operation("GET", _OF, _in_progress, policy=_RULE.format("servers:migrations:index"), since=23),
    Operation("GET", _ONE, _show, policy=_RULE.format("servers:migrations:show"), since=23),
)
