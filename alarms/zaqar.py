"""Messages of a Zaqar queue, as a subscription hands them on: bare, or as Heat's MistralTrigger wraps them."""

from collections.abc import Mapping
from typing import Any

from stackmend.alarms import aodh
from stackmend.alarms.alarm import Alarm, alarm, moment


def parse(payload: Mapping[str, Any], now: str) -> list[Alarm]:
    """The alarm in ``payload`` (schemas.ZAQAR): Aodh's body, or a plain one; none in a subscription's confirmation."""
    message = payload
    if "body" not in payload:
        if payload.get("Message_Type") == "SubscriptionConfirmation":
            return []
        message = payload["params"]["env"]["notification"]
    body = message["body"]
    return aodh.parse(body, now, "zaqar") if "alarm_id" in body else [_plain(body, now)]


def _plain(body: Mapping[str, Any], now: str) -> Alarm:
    told = {name: body[name] for name in ("host", "severity", "labels") if name in body}
    about = body.get("id") or f"{body['name']}/{body.get('host', '')}"
    return alarm("zaqar", about, body["name"], body["state"], at=moment(body.get("at"), now), **told)
