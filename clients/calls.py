"""One call to an OpenStack service as a value: printed in a plan, then sent as it is."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from stackmend.errors import BadInput

_OURS = uuid.UUID("6f0a3c1e-0d5b-4a70-9a0e-7f4d1c1f6b52")
_SECRET_WORDS = ("pass", "secret", "token", "user_data")


def new_request_id(run: str, step: str, attempt: int) -> str:
    """The request id of one attempt of one step: the same three always give the same id."""
    return f"req-{uuid.uuid5(_OURS, f'{run}/{step}/{attempt}')}"


@dataclass(frozen=True)
class ApiCall:
    """One effect on one service. ``path`` starts below the service's endpoint, without project or version."""

    service: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    microversion: str | None = None

    def text(self) -> str:
        """The call on one line for people; values that may be secret are shown as ``***``."""
        parts = [self.method, self.service, self.path]
        if self.body is not None:
            parts.append(json.dumps(masked(self.body)))
        if self.microversion:
            parts.append(f"({self.microversion})")
        return " ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The call as plain JSON, complete; ``from_json`` gives an equal call back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ApiCall":
        """The call that ``to_json`` wrote. Raises BadInput when a field is missing or unknown."""
        try:
            return cls(**data)
        except TypeError as error:
            raise BadInput(f"A stored API call is not whole ({error}): make the plan again.") from None


@dataclass(frozen=True)
class Answer:
    """What a service answered to one effect.

    ``request_id`` is the service's own, the one that nova's instance actions show; ``date`` is the
    service's clock in UTC (ours when the answer carries no Date header).
    """

    status: int
    request_id: str
    body: Any
    date: datetime


@dataclass(frozen=True)
class CallRecord:
    """One HTTP exchange that took place; ``status`` is None when no answer came."""

    service: str
    method: str
    path: str
    status: int | None
    request_id: str
    answered_request_id: str
    seconds: float


def masked(value: Any) -> Any:
    """The same JSON value with everything that may be a secret replaced by ``***``."""
    if isinstance(value, Mapping):
        return {key: "***" if _is_secret(key, item) else masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def _is_secret(key: str, value: Any) -> bool:
    return isinstance(value, str) and any(word in key.lower() for word in _SECRET_WORDS)
