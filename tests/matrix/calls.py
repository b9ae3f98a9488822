"""Every API call of a scenario, found in the record of an undisturbed run, and the ways in which it can fail."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from matrix.stage import Played, Stage

from stackmend.clients import signin

# The cloud's own names for its faults (lab/simulated/faults.py).
LOST: dict[str, Any] = {"kind": "cut-after"}
FAILURES: dict[str, dict[str, Any]] = {
    "refused": {"kind": "refused"},
    "cut before the effect": {"kind": "cut-before"},
    "cut after the effect": LOST,
    "timed out": {"kind": "hang", "mutant": f"{__name__}.loses_patience"},
    "malformed": {"kind": "malformed"},
    "token expired": {"kind": "status", "status": 401},
    "conflict": {"kind": "status", "status": 409},
    "too many": {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    "server error": {"kind": "status", "status": 500},
    "busy": {"kind": "status", "status": 503},
}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|(?<=/)\d+(?=/|$)")


@dataclass(frozen=True)
class Call:
    """The ``number``-th call of a service with this method and path; a star stands for an id, as some are new ones."""

    service: str
    method: str
    path: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.method} {self.service} {self.path} ({self.number})"

    @contextlib.contextmanager
    def disturbed(self, stage: Stage, mutant: str = "", **fault: Any) -> Iterator[Played]:
        """The scenario played while this call fails, once."""
        stage.set_up()
        stage.mutant = mutant or stage.mutant
        where = {
            "service": self.service,
            "method": self.method,
            "path": f"^{re.escape(self.path)}$".replace(r"\*", "[^/]+"),
        }
        stage.desk.cloud.fault(times=1, after=self.number - 1, **where, **fault)
        try:
            yield stage.go_on()
        finally:
            stage.desk.cloud.clear_faults()


def loses_patience() -> None:
    """Answers are waited for one second, and not a minute."""
    signin.Timeouts.__init__.__defaults__ = (10.0, 1.0, 60.0)  # type: ignore[attr-defined]


def failing(stage: Stage) -> list[Call]:
    """Each call that changes something; and of those that only read, one of each kind."""
    stage.play()
    seen: Counter[Call] = Counter()
    found: dict[Call, None] = {}
    for one in stage.desk.cloud.calls():
        kind = Call(one["service"], one["method"], _ID.sub("*", one["path"].partition("?")[0]))
        seen[kind] += 1
        if seen[kind] == 1 or kind.method != "GET":
            found[replace(kind, number=seen[kind])] = None
    return list(found)
