"""The sources of alarms: where each posts, what, and how it is read."""

import functools
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import fastjsonschema

from stackmend.alarms import alertmanager, aodh, masakari, pacemaker, schemas, zaqar
from stackmend.alarms.alarm import Alarm
from stackmend.errors import BadInput

_NAMESPACE = uuid.UUID("b0f9a0c4-5a53-5d0e-9d0b-0f1a2b6d7e31")
_LONGEST_COMPLAINT = 200


@dataclass(frozen=True)
class Source:
    """One of them. ``delivery`` tells what a payload itself says of its delivery's id, where it does."""

    name: str
    paths: tuple[str, ...]
    schema: schemas.Schema
    parse: Callable[[Mapping[str, Any], str], list[Alarm]]
    delivery: Callable[[Mapping[str, Any]], str] | None = None

    def read(self, payload: Any, now: str) -> list[Alarm]:
        """The alarms in a payload that came at ``now``. Raises BadInput naming what does not fit, and where."""
        try:
            _validator(self.name)(payload)
        except fastjsonschema.JsonSchemaValueException as error:
            # Of a value that is quoted in it the beginning will do.
            raise BadInput(f"this is nothing that {self.name} sends: {error.message[:_LONGEST_COMPLAINT]}") from None
        return self.parse(payload, now)


SOURCES = {
    source.name: source
    for source in (
        Source("aodh", ("/v1/aodh",), schemas.AODH, aodh.parse),
        Source("alertmanager", ("/v1/alertmanager",), schemas.ALERTMANAGER, alertmanager.parse),
        Source("zaqar", ("/v1/zaqar",), schemas.ZAQAR, zaqar.parse),
        Source("pacemaker", ("/v1/pacemaker",), schemas.PACEMAKER, pacemaker.parse),
        Source(
            "masakari",
            ("/v1/notifications", "/v1/{project_id}/notifications"),
            schemas.MASAKARI,
            masakari.parse,
            masakari.delivery,
        ),
    )
}


def alarm_id(source: str, delivery: str | None, number: int) -> str:
    """The id of the ``number``-th alarm of a delivery: the same for the same delivery, where it has an id."""
    return str(uuid.uuid4() if delivery is None else uuid.uuid5(_NAMESPACE, f"{source}/{number}/{delivery}"))


@functools.cache
def _validator(name: str) -> Callable[[Any], Any]:
    checked: Callable[[Any], Any] = fastjsonschema.compile(SOURCES[name].schema)
    return checked
