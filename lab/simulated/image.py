"""glance: the list of images, and one of them."""

from typing import Any

from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply, Service


def _view(row: Row) -> dict[str, Any]:
    path = f"/v2/images/{row['id']}"
    return {
        "id": row["id"],
        "name": row["name"],
        "size": row["size"],
        "status": "active",
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


def _show(call: Call) -> Reply:
    row = call.cloud.lab.one("SELECT * FROM images WHERE id = ?", call.params["image"])
    if row is None:
        raise ApiError(404, f"No image found with ID {call.params['image']}")
    return Reply(200, _view(row))


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
        Operation("GET", "/v2/images/{image}", _show),
    ),
)
