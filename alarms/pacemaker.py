"""What our agent (alarms/pacemaker_alert.py) posts of Pacemaker's alerts."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from stackmend.alarms.alarm import FIRING, INSUFFICIENT, OK, Alarm, alarm, moment

# Operation reboot of c03 by c02 for pacemaker-controld.66@c01: OK (ref=3fa7a51e-...)
_FENCING = re.compile(r"Operation (?P<operation>\w+) of .*?(?:\(ref=(?P<ref>[^)]*)\))?$")


def parse(payload: Mapping[str, Any], now: str) -> list[Alarm]:
    """The alarm in ``payload`` (schemas.PACEMAKER).

    A node that is lost and a node that was fenced are about the same: that node, until it is a member again. A fencing
    that failed proves nothing: from it, and from a changed attribute, nothing follows.
    """
    alert = payload["alert"]
    kind, node = alert["kind"], alert["node"]
    found = _FENCING.search(alert.get("desc", "")) if kind == "fencing" else None
    labels = {**alert, "reporter": payload["reporter"], **(found.groupdict("") if found else {})}
    return [
        alarm(
            "pacemaker",
            f"{node}/{alert.get('rsc', '')}" if kind == "resource" else node,
            kind,
            _state(kind, labels),
            host=node,
            labels=labels,
            at=moment(_iso(alert), now),
        )
    ]


def _state(kind: str, labels: Mapping[str, str]) -> str:
    if kind == "node":
        return {"lost": FIRING, "member": OK}.get(labels.get("desc", ""), INSUFFICIENT)
    if kind == "fencing":
        off = labels.get("rc") == "0" and labels.get("operation") in ("off", "reboot")
        return FIRING if off else INSUFFICIENT
    if kind == "resource":
        fine = labels.get("status") == "0" and labels.get("rc") == labels.get("target_rc")
        return OK if fine else FIRING
    return INSUFFICIENT


def _iso(alert: Mapping[str, str]) -> str | None:
    try:
        return datetime.fromtimestamp(int(alert.get("timestamp_epoch", "")), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
