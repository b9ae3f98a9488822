"""glance: the list of images, one of them, and how one is made and deleted."""

import json
from typing import Any

from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply, Service

# Fields of an image that are no properties of its own.
_FIELDS = ("name", "disk_format", "container_format", "visibility", "min_ram", "min_disk", "protected", "tags")


def _view(row: Row) -> dict[str, Any]:
    path = f"/v2/images/{row['id']}"
    return {
        **json.loads(row["properties"] or "{}"),
        "id": row["id"],
        "name": row["name"],
        "size": row["size"],
        "status": row["status"],
        "visibility": "public",
        "disk_format": "raw",
        "container_format": "bare",
        "min_ram": 0,
        "min_disk": 0,
        "protected": False,
        "os_hidden": False,
        "tags": [],
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }


def _list(call: Call) -> Reply:
    found = call.cloud.lab.all("SELECT * FROM images WHERE name LIKE ?", call.query.get("name", "%"))
    return Reply(200, {"images": [_view(row) for row in found], "first": "/v2/images", "schema": "/v2/schemas/images"})


def _found(call: Call) -> Row:
    row = call.cloud.lab.one("SELECT * FROM images WHERE id = ?", call.params["image"])
    if row is None:
        raise ApiError(404, f"No image found with ID {call.params['image']}")
    return row


def _show(call: Call) -> Reply:
    return Reply(200, _view(_found(call)))


def _create(call: Call) -> Reply:
    given, image = call.json(), new_id()
    properties = json.dumps({name: value for name, value in given.items() if name not in _FIELDS})
    call.cloud.lab.insert("images", id=image, name=given.get("name"), status="queued", properties=properties)
    row = call.cloud.lab.one("SELECT * FROM images WHERE id = ?", image)
    assert row is not None
    return Reply(201, _view(row))


def _upload(call: Call) -> Reply:
    call.cloud.lab.update("images", {"id": _found(call)["id"]}, size=len(call.raw), status="active")
    return Reply(204)


def _delete(call: Call) -> Reply:
    call.cloud.lab.write("DELETE FROM images WHERE id = ?", _found(call)["id"])
    return Reply(204)


def _root(call: Call) -> Reply:
    links = [{"rel": "self", "href": f"{call.cloud.url('image')}/v2/"}]
    return Reply(300, {"versions": [{"id": "v2.17", "status": "CURRENT", "links": links}]})


def _error(status: int, message: str, _kind: str, _request_id: str) -> Any:
    title = {403: "Forbidden", 404: "Not Found"}.get(status, "Error")
    return {"message": f"{message}<br /><br />\n\n\n", "code": f"{status} {title}", "title": title}


SERVICE = Service(
    "image",
    "/image",
    _error,
    (
        Operation("GET", "/", _root, open=True),
        Operation("GET", "/v2/images", _list),
        Operation("POST", "/v2/images", _create),
        Operation("GET", "/v2/images/{image}", _show),
        Operation("PUT", "/v2/images/{image}/file", _upload),
        Operation("DELETE", "/v2/images/{image}", _delete),
    ),
)
