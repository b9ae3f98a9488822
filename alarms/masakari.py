"""Masakari's notifications: what masakari-monitors post to masakari-api, they may post here."""

from collections.abc import Mapping
from typing import Any

from stackmend.alarms.alarm import FIRING, OK, Alarm, alarm, flat, moment


def parse(payload: Mapping[str, Any], now: str) -> list[Alarm]:
    """The alarm in ``payload`` (schemas.MASAKARI); ``host_status`` and the like are its labels.

    A STOPPED fires whatever ``host_status`` says: a rule for what masakari itself would recover matches NORMAL.
    """
    told = payload["notification"]
    inner = told["payload"]
    what = inner.get("process_name") or inner.get("instance_uuid")
    return [
        alarm(
            "masakari",
            "/".join(filter(None, [told["type"], told["hostname"], what])),
            told["type"],
            OK if inner["event"] == "STARTED" or inner.get("vir_domain_event") == "STARTED" else FIRING,
            host=told["hostname"],
            labels=flat(inner),
            at=moment(told["generated_time"], now),
        )
    ]


def delivery(payload: Mapping[str, Any]) -> str:
    """What tells one notification from the next: a monitor that missed the answer sends the same again."""
    told = payload["notification"]
    inner = sorted(flat(told["payload"]).items())
    return repr([told["type"], told["hostname"], told["generated_time"], inner])
