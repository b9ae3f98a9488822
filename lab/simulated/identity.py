"""Keystone: users, projects, roles, tokens and the catalogue."""

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.ids import keystone_id
from stackmend.lab.simulated.web import ApiError, Caller

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

PASSWORD = "simulated"
ROLES = ("admin", "manager", "member", "reader", "service")
_CATALOG = (
    ("identity", "keystone", "/v3"),
    ("compute", "nova", "/v2.1"),
    ("volumev3", "cinderv3", "/v3"),
    ("block-storage", "cinder", "/v3"),
    ("network", "neutron", ""),
    ("placement", "placement", ""),
    ("image", "glance", ""),
    ("instance-ha", "masakari", "/v1"),
)
_SERVICE_OF_TYPE = {"volumev3": "volume", "block-storage": "volume", "instance-ha": "masakari"}
_REFUSED = "The request you have made requires authentication."


@dataclass(frozen=True)
class _Token:
    caller: Caller
    issued: float
    expires: float


class Identity:
    """Accounts in rows, tokens in memory."""

    def __init__(self, cloud: "Cloud") -> None:
        self._cloud = cloud
        self._tokens: dict[str, _Token] = {}

    def add_project(self, name: str) -> str:
        """The id of the project of that name, made when there is none; its admin is the admin."""
        project_id = keystone_id("project", name)
        if self._cloud.lab.one("SELECT 1 FROM projects WHERE id = ?", project_id) is None:
            self._cloud.lab.insert("projects", id=project_id, name=name)
            self.grant("admin", name, "admin", "manager", "member", "reader")
        return project_id

    def add_user(self, name: str, password: str = PASSWORD) -> str:
        """Make a user; its id."""
        user_id = keystone_id("user", name)
        self._cloud.lab.insert("users", id=user_id, name=name, password=password)
        return user_id

    def grant(self, user: str, project: str, *roles: str) -> None:
        """Give a user roles in a project, all by name."""
        for role in roles:
            self._cloud.lab.write(
                "INSERT OR IGNORE INTO grants VALUES (?, ?, ?)",
                keystone_id("user", user),
                keystone_id("project", project),
                role,
            )

    def caller(self, token_id: str | None) -> Caller:
        """Who a token stands for; 401 when it is missing, unknown or expired."""
        token = self._tokens.get(token_id or "")
        if token is None or token.expires < time.time():
            raise ApiError(401, _REFUSED)
        return token.caller

    def is_service(self, token_id: str | None) -> bool:
        """True for a valid token with the service role, as X-Service-Token carries."""
        token = self._tokens.get(token_id or "")
        return token is not None and "service" in token.caller.roles

    def expire_all(self) -> None:
        """Make every token invalid."""
        self._tokens.clear()

    def issue(self, caller: Caller) -> str:
        """A new token."""
        token_id = f"gAAAAA{uuid.uuid4().hex}{uuid.uuid4().hex}"
        now = time.time()
        self._tokens[token_id] = _Token(caller, now, now + self._cloud.settings.token_seconds)
        return token_id

    def body(self, token_id: str) -> dict[str, Any]:
        """A token as keystone shows it; 404 when there is none."""
        token = self._tokens.get(token_id)
        if token is None:
            raise ApiError(404, "Could not recognize Fernet token")
        caller = token.caller
        domain = {"id": "default", "name": "Default"}
        shown: dict[str, Any] = {
            "methods": ["password"],
            "user": {
                "domain": domain,
                "id": caller.user_id,
                "name": caller.user_name,
                "password_expires_at": None,
            },
            "audit_ids": [token_id[6:28]],
            "expires_at": _time(token.expires),
            "issued_at": _time(token.issued),
            "roles": [{"id": keystone_id("role", role), "name": role} for role in caller.roles],
            "catalog": self.catalog(),
        }
        if caller.project_id:
            name = self._project_name(caller.project_id)
            shown["project"] = {"domain": domain, "id": caller.project_id, "name": name}
            shown["is_domain"] = False
        else:
            shown["system"] = {"all": True}
        return {"token": shown}

    def _project_name(self, project_id: str) -> str:
        row = self._cloud.lab.one("SELECT name FROM projects WHERE id = ?", project_id)
        return str(row["name"]) if row else ""

    def catalog(self) -> list[dict[str, Any]]:
        """Every service and its three endpoints."""
        return [
            {
                "id": keystone_id("service", kind),
                "type": kind,
                "name": name,
                "endpoints": [self._endpoint(kind, path, side) for side in ("public", "internal", "admin")],
            }
            for kind, name, path in _CATALOG
        ]

    def _endpoint(self, kind: str, path: str, interface: str) -> dict[str, str]:
        return {
            "id": keystone_id("endpoint", f"{kind}/{interface}"),
            "interface": interface,
            "region_id": "RegionOne",
            "region": "RegionOne",
            "url": self._cloud.url(_SERVICE_OF_TYPE.get(kind, kind)) + path,
        }

    def authenticate(self, auth: dict[str, Any]) -> Caller:
        """Who a request for a token is; 400 when it is malformed, 401 when it is not let in."""
        try:
            user = self._user(auth["identity"])
        except (KeyError, TypeError) as error:
            raise ApiError(400, f"{error} is a required property") from error
        if user is None:
            raise ApiError(401, _REFUSED)
        return self._scoped(user["id"], user["name"], auth.get("scope") or {})

    def _user(self, identity: dict[str, Any]) -> Any:
        if "token" in identity["methods"]:
            caller = self.caller(identity["token"]["id"])
            return {"id": caller.user_id, "name": caller.user_name}
        given = identity["password"]["user"]
        return self._cloud.lab.one(
            "SELECT id, name FROM users WHERE (id = ? OR name = ?) AND password = ?",
            given.get("id"),
            given.get("name"),
            given["password"],
        )

    def _scoped(self, user_id: str, name: str, scope: dict[str, Any]) -> Caller:
        if "system" in scope:
            if name != "admin":
                raise ApiError(401, _REFUSED)
            return Caller(user_id, name, "", ("admin", "manager", "member", "reader"))
        project = scope.get("project") or {"name": name}
        rows = self._cloud.lab.all(
            "SELECT p.id, g.role FROM projects p JOIN grants g ON g.project_id = p.id"
            " WHERE g.user_id = ? AND (p.id = ? OR p.name = ?)",
            user_id,
            project.get("id"),
            project.get("name"),
        )
        if not rows:
            raise ApiError(401, _REFUSED)
        return Caller(user_id, name, rows[0]["id"], tuple(row["role"] for row in rows))


def _time(moment: float) -> str:
    return (datetime.fromtimestamp(moment, UTC) + timedelta(0)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def bootstrap(identity: Identity) -> None:
    """The accounts every cloud starts with: admin, nova's service user, a member of project demo."""
    for name in ("admin", "nova", "member"):
        identity.add_user(name)
    for project in ("admin", "service", "demo"):
        identity.add_project(project)
    identity.grant("nova", "service", "admin", "service")
    identity.grant("member", "demo", "member", "reader")
