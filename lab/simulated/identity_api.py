"""Keystone's HTTP side: tokens, the catalogue, projects and users."""

from typing import Any

from stackmend.lab.simulated import identity_lists
from stackmend.lab.simulated.identity import Identity
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply, Service


def _issue(call: Call) -> Reply:
    auth = call.json().get("auth")
    if not isinstance(auth, dict):
        raise ApiError(400, "'auth' is a required property")
    identity: Identity = call.cloud.identity
    token_id = identity.issue(identity.authenticate(auth))
    return Reply(201, identity.body(token_id), {"X-Subject-Token": token_id, "Vary": "X-Auth-Token"})


def _validate(call: Call) -> Reply:
    token_id = call.request.headers.get("x-subject-token", "")
    return Reply(200, call.cloud.identity.body(token_id), {"X-Subject-Token": token_id})


def _listing(kind: str) -> Any:
    def listing(call: Call) -> Reply:
        rows = call.cloud.lab.all(f"SELECT id, name FROM {kind}s ORDER BY name")
        name = call.query.get("name")
        items = [_item(call, kind, row) for row in rows if name in (None, row["name"])]
        url = f"{call.cloud.url('identity')}/v3/{kind}s"
        return Reply(200, {f"{kind}s": items, "links": {"next": None, "self": url, "previous": None}})

    return listing


def _showing(kind: str) -> Any:
    def showing(call: Call) -> Reply:
        row = call.cloud.lab.one(f"SELECT id, name FROM {kind}s WHERE id = ?", call.params["id"])
        if row is None:
            raise ApiError(404, f"Could not find {kind}: {call.params['id']}.")
        return Reply(200, {kind: _item(call, kind, row)})

    return showing


def _item(call: Call, kind: str, row: Any) -> dict[str, Any]:
    url = f"{call.cloud.url('identity')}/v3/{kind}s/{row['id']}"
    common = {"id": row["id"], "name": row["name"], "domain_id": "default", "enabled": True, "options": {}}
    extra = {"parent_id": "default", "is_domain": False, "tags": [], "description": ""} if kind == "project" else {}
    return {**common, **extra, "links": {"self": url}}


def _discover(call: Call) -> Reply:
    version = {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{call.cloud.url('identity')}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }
    if call.request.url.path.rstrip("/").endswith("/v3"):
        return Reply(200, {"version": version})
    return Reply(300, {"versions": {"values": [version]}})


def _error(status: int, message: str, _kind: str, _request_id: str) -> Any:
    titles = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
    return {"error": {"code": status, "message": message, "title": titles.get(status, "Error")}}


SERVICE = Service(
    "identity",
    "/identity",
    _error,
    (
        Operation("GET", "/", _discover, open=True),
        Operation("GET", "/v3", _discover, open=True),
        Operation("GET", "/v3/", _discover, open=True),
        Operation("POST", "/v3/auth/tokens", _issue, open=True),
        Operation("GET", "/v3/auth/tokens", _validate),
        Operation("GET", "/v3/auth/catalog", lambda call: Reply(200, {"catalog": call.cloud.identity.catalog()})),
        Operation("GET", "/v3/auth/projects", _listing("project")),
        Operation("GET", "/v3/projects", _listing("project"), policy="identity:list_projects"),
        Operation("GET", "/v3/users", _listing("user"), policy="identity:list_users"),
        Operation("GET", "/v3/projects/{id}", _showing("project")),
        Operation("GET", "/v3/users/{id}", _showing("user")),
        *identity_lists.OPERATIONS,
    ),
    forbidden="You are not authorized to perform the requested action: {}.",
)
