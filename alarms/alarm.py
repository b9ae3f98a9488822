"""An alarm, whoever sent it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stackmend.engine import clock

FIRING, OK, INSUFFICIENT = "firing", "ok", "insufficient"
# Columns of the run store end there.
LONGEST = 255
_LONGEST_SEVERITY = 32
# What no database takes as text.
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
# What a terminal would obey.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Alarm:
    """What a source said.

    ``id``: what it is about, as that source names it: the alarm that resolves another bears the same. ``state``:
    FIRING, OK or INSUFFICIENT (nothing follows from it). ``host`` may be empty. ``at``: when it began, as
    engine.clock stores time; empty where the source only says that it goes on.
    """

    source: str
    id: str
    name: str
    state: str
    host: str = ""
    severity: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    at: str = ""


def alarm(source: str, about: str, name: str, state: str, **rest: Any) -> Alarm:
    """An alarm whose every text can be stored; see Alarm for ``rest``."""
    labels = {text(key): text(value) for key, value in rest.pop("labels", {}).items()}
    host, severity = _line(rest.pop("host", "")), _line(rest.pop("severity", ""))
    # A name that is cut short may be another host's.
    host = host if len(host) <= LONGEST else ""
    short = {"name": _line(name)[:LONGEST], "severity": severity[:_LONGEST_SEVERITY]}
    return Alarm(source, _short(_line(about)), state=state, host=host, labels=labels, **short, **rest)


def text(value: Any) -> str:
    """A value as text that can be stored."""
    if isinstance(value, bool):
        return str(value).lower()
    return _UNWRITABLE.sub("\ufffd", value if isinstance(value, str) else "" if value is None else str(value))


def flat(labels: Mapping[str, Any]) -> dict[str, str]:
    """The values of a mapping that are no lists or mappings, as text."""
    return {key: text(value) for key, value in labels.items() if not isinstance(value, list | dict)}


def moment(told: Any, now: str) -> str:
    """A time in ISO 8601 (UTC where it says no zone) as it is stored; ``now`` where it is none, or is yet to come."""
    try:
        found = datetime.fromisoformat(told)
        return min(now, clock.stored(found if found.tzinfo else found.replace(tzinfo=UTC)))
    except (TypeError, ValueError, OverflowError):
        return now


def _line(value: Any) -> str:
    """A value as text that can be shown on one line."""
    return _CONTROL.sub("\ufffd", text(value))


def _short(about: str) -> str:
    """An id that fits, and is still another one where any of it is."""
    if len(about) <= LONGEST:
        return about
    return f"{about[:160]}-{hashlib.sha256(about.encode()).hexdigest()}"
