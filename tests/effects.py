"""What happened in a simulated cloud, compared with what a plan announced."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from desk import Desk

DAMAGE = (
    ("volume-available-detached", "volumes", "db-data"),
    ("volume-attachments-deleted", "volumes", "db-1-root"),
    ("volume-error", "volumes", "files-1-vol1"),
    ("volume-attachments-deleted", "volumes", "files-1-root"),
    ("volume-attachments-deleted", "volumes", "cluster-disk"),
    ("bdm-deleted", "volumes", "web-1-vol1"),
    ("volume-attachments-deleted", "volumes", "old-1-vol1"),
    ("server-stuck-powering-off", "servers", "app-2"),
    ("server-error", "servers", "app-1"),
    ("port-down", "ports", "node-a"),
    ("guest-lost", "servers", "cache-1"),
)


def break_shop(desk: Desk) -> None:
    """A power loss and hasty hands: damage of every kind, over the whole shop."""
    for kind, what, name in DAMAGE:
        desk.cloud.damage(kind, getattr(desk, what)[name])


def happened(desk: Desk) -> list[dict[str, Any]]:
    """Every call, statement and command that could change something, in order, as it reached the cloud."""
    bodies: dict[str, dict[str, Any]] = {}
    for effect in desk.cloud.journal():
        bodies.setdefault(effect.get("request_id", ""), effect)
    calls = [
        {**call, "effect": bodies.get(call["request_id"], {})}
        for call in desk.cloud.calls()
        if call["method"] != "GET" and call["service"] != "identity"
    ]
    others = [effect for effect in desk.cloud.journal("sql.", "ssh.") if "boot_id" not in effect.get("command", "")]
    found = sorted(calls + others, key=lambda item: (_moment(item), item["seq"]))
    return [{**item, "place": place} for place, item in enumerate(found, 1)]


def _moment(item: dict[str, Any]) -> float:
    # Statements are noticed later than they are run, one database after the other.
    at = datetime.fromisoformat(item["at"]).replace(tzinfo=UTC).timestamp() if "at" in item else item["time"]
    return round(float(at), 3)


def matches(planned: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether ``item`` is what a step of the plan announced."""
    if "table" in planned:
        changed = {name: new for name, (_, new) in item.get("changed", {}).items()}
        return (
            item.get("kind") == "sql.update"
            and (item["database"], item["table"]) == (planned["database"], planned["table"])
            and item["target"] in planned["key"].values()
            and changed.items() <= planned["values"].items()
        )
    if "command" in planned:
        return item.get("kind") == "ssh.command" and planned["command"] in item["command"]
    return item.get("method") == planned["method"] and item["path"].endswith(planned["path"]) and _same(planned, item)


def _same(planned: dict[str, Any], call: dict[str, Any]) -> bool:
    name, given = next(iter(planned["body"].items()))
    effect = call["effect"]
    told: dict[str, Any] = {
        "reboot": {"type": effect.get("type")},
        "os-reset_status": effect.get("wanted"),
        "os-resetState": {"state": effect.get("state")},
        "volumeAttachment": {**given, "volumeId": effect.get("target"), "device": effect.get("device")},
    }
    return bool(told[name] == given)


def effects(plan: dict[str, Any]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """For each lane its planned effects in order, each with the condition of its step."""
    for lane in plan["lanes"]:
        yield [(step["when"], effect) for step in lane["steps"] for effect in step["effects"]]


def unplanned(plan: dict[str, Any], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What happened that no lane announced; fails for what was announced and did not happen, in that order."""
    left = list(found)
    for lane in effects(plan):
        after = 0
        for when, planned in lane:
            item = next((item for item in left if item["place"] > after and matches(planned, item)), None)
            assert item is not None or when != "always", f"never happened, or too early: {planned['text']}"
            if item is not None:
                left.remove(item)
                after = item["place"]
    return left
