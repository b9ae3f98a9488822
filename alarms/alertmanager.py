"""Prometheus Alertmanager's webhook, version 4: a group of alerts, each firing or resolved."""

import json
from collections.abc import Mapping
from typing import Any

from stackmend.alarms.alarm import FIRING, OK, Alarm, alarm, moment

# The labels that name a compute host, the likeliest first; `instance` bears a port.
_HOST_LABELS = ("host", "hostname", "nodename", "instance")


def parse(payload: Mapping[str, Any], now: str) -> list[Alarm]:
    """The alarms in ``payload`` (schemas.ALERTMANAGER); the annotations are labels too, under their own names."""
    return [_alarm(alert, now) for alert in payload["alerts"]]


def _alarm(alert: Mapping[str, Any], now: str) -> Alarm:
    labels = alert["labels"]
    name = next((name for name in _HOST_LABELS if labels.get(name)), None)
    host = labels[name] if name else ""
    return alarm(
        "alertmanager",
        alert.get("fingerprint") or json.dumps(labels, sort_keys=True),
        labels.get("alertname", ""),
        FIRING if alert["status"] == "firing" else OK,
        host=_without_port(host) if name == "instance" else host,
        severity=labels.get("severity", ""),
        labels={**alert.get("annotations", {}), **labels},
        at=moment(alert["startsAt"], now),
    )


def _without_port(instance: str) -> str:
    host, colon, port = instance.rpartition(":")
    return host if colon and port.isdigit() and (":" not in host or host.startswith("[")) else instance
