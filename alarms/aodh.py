"""Aodh's alarms, as its notifiers http, https, trust+http and trust+https post them."""

from collections.abc import Mapping
from typing import Any

from stackmend.alarms.alarm import FIRING, INSUFFICIENT, OK, Alarm, alarm, flat, moment

_STATES = {"alarm": FIRING, "ok": OK, "insufficient data": INSUFFICIENT}
# The traits of an event that name a compute host, the likeliest first.
_HOST_TRAITS = ("host", "hostname", "compute_host", "node")


def parse(payload: Mapping[str, Any], now: str, source: str = "aodh") -> list[Alarm]:
    """The alarm in ``payload`` (schemas.AODH).

    One alarm of Aodh's may be about every host (of an event alarm): then it is one about that host. Its body bears no
    time: an event has one of its own, and an alarm that was in alarm before began earlier.
    """
    told = payload["reason_data"] or {}
    event = told.get("event")
    event = event if isinstance(event, dict) else {}
    traits = _traits(event)
    host = next((traits[name] for name in _HOST_TRAITS if traits.get(name)), "")
    goes_on = not event and payload["previous"] == payload["current"] == "alarm"
    labels = {**flat(told), **traits, **{name: payload[name] for name in ("previous", "reason")}}
    return [
        alarm(
            source,
            f"{payload['alarm_id']}/{host}" if host else payload["alarm_id"],
            payload["alarm_name"],
            _STATES[payload["current"]],
            host=host,
            severity=payload["severity"],
            labels=labels | ({"event_type": event["event_type"]} if "event_type" in event else {}),
            at="" if goes_on else moment(event.get("generated"), now),
        )
    ]


def _traits(event: Mapping[str, Any]) -> dict[str, str]:
    """An event's traits, which are lists of name, type and value."""
    traits = event.get("traits")
    if not isinstance(traits, list):
        return {}
    known = [trait for trait in traits if isinstance(trait, list) and len(trait) == 3 and isinstance(trait[0], str)]
    return flat({name: value for name, _, value in known})
