"""What every simulated service shares: a call, a reply, an error, an operation and a service."""

import inspect
import json
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_GLOBAL_ID = re.compile(r"^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


@dataclass(frozen=True)
class Caller:
    """Who a token stands for."""

    user_id: str
    user_name: str
    project_id: str
    roles: tuple[str, ...]

    @property
    def admin(self) -> bool:
        """True for a caller with the admin role."""
        return "admin" in self.roles


@dataclass(frozen=True)
class Origin:
    """Which call made something happen; carried by what goes on in the background."""

    request_id: str
    global_id: str | None
    caller: Caller

    @property
    def ids(self) -> dict[str, str | None]:
        """The two request ids as the journal writes them."""
        return {"request_id": self.request_id, "global_request_id": self.global_id}


@dataclass(frozen=True)
class Reply:
    """An answer; ``body`` None is an empty one, bytes are sent as they are."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        """The body as it goes over the wire."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class ApiError(Exception):
    """A refusal, which the service turns into a body of its own form.

    ``kind`` is the error's name where the service's body has one (neutron).
    """

    def __init__(self, status: int, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


@dataclass
class Call:
    """One request as an operation sees it."""

    cloud: "Cloud"
    request: Request
    service: "Service"
    raw: bytes
    request_id: str
    version: tuple[int, int] = (0, 0)
    caller: Caller = field(default_factory=lambda: Caller("", "", "", ()))

    @property
    def params(self) -> dict[str, str]:
        """The named parts of the path."""
        return {name: str(value) for name, value in self.request.path_params.items()}

    @property
    def query(self) -> Mapping[str, str]:
        """The query, the last value of each name."""
        return self.request.query_params

    @property
    def origin(self) -> Origin:
        """What this call's effects carry."""
        given = self.request.headers.get("x-openstack-request-id", "")
        return Origin(self.request_id, given if _GLOBAL_ID.match(given) else None, self.caller)

    def json(self) -> dict[str, Any]:
        """The body as an object; 400 when it is none."""
        try:
            body = json.loads(self.raw or b"null")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ApiError(400, "Malformed request body")
        return body

    def inner(self, name: str) -> dict[str, Any]:
        """The object under ``name`` in the body; 400 when there is none."""
        value = self.json().get(name)
        if not isinstance(value, dict):
            raise ApiError(400, f"Invalid input for field/attribute {name}. '{name}' is a required property")
        return value

    def at_least(self, minor: int) -> bool:
        """True when the caller asked for this minor version or a later one."""
        return self.version[1] >= minor

    def flag(self, name: str) -> bool:
        """A query's boolean, as OpenStack reads it."""
        return self.query.get(name, "").lower() in ("1", "true", "yes", "t", "y", "on")

    def effect(self, kind: str, target: str, **details: Any) -> None:
        """Journal an effect of this call."""
        self.cloud.journal.effect(kind, target, **self.origin.ids, **details)


Handler = Callable[[Call], Reply | Awaitable[Reply]]


@dataclass(frozen=True)
class Operation:
    """One method of one path; ``policy`` names the rule only an admin fulfils, ``open`` needs no token."""

    method: str
    path: str
    handler: Handler
    policy: str = ""
    open: bool = False
    since: int = 0


@dataclass(frozen=True)
class Versions:
    """The microversions of a service: ``name`` in the header, and the range."""

    name: str
    minimum: tuple[int, int]
    maximum: tuple[int, int]
    legacy_header: str = ""


@dataclass(frozen=True)
class Service:
    """One service: where it stands, its versions, the form of its errors, its operations."""

    name: str
    prefix: str
    error_body: Callable[[int, str, str, str], Any]
    operations: tuple[Operation, ...]
    versions: Versions | None = None
    forbidden: str = "Policy doesn't allow {} to be performed."


async def answer(operation: Operation, call: Call) -> Reply:
    """What the operation's handler answers, waited for when it takes time."""
    reply = operation.handler(call)
    return await reply if inspect.isawaitable(reply) else reply


def new_request_id() -> str:
    """A request id as OpenStack's middleware makes it."""
    return f"req-{uuid.uuid4()}"


_FAULT_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflictingRequest",
    413: "overLimit",
    429: "overLimit",
    503: "serviceUnavailable",
}


def fault_body(status: int, message: str, _kind: str, _request_id: str) -> Any:
    """nova's and cinder's error body."""
    return {_FAULT_NAMES.get(status, "computeFault"): {"code": status, "message": message}}
