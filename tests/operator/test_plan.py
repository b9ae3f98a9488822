"""The plan changes nothing, and what runs afterwards is what it printed, call by call."""

from collections.abc import Iterator
from typing import Any

import pytest
from desk import Desk, quick

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
)


def damage(desk: Desk) -> None:
    """All at once, over the whole shop."""
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
    return sorted(calls + others, key=lambda item: item["seq"])


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
            item = next((item for item in left if item["seq"] > after and matches(planned, item)), None)
            assert item is not None or when != "always", f"never happened, or too early: {planned['text']}"
            if item is not None:
                left.remove(item)
                after = item["seq"]
    return left


@pytest.mark.parametrize("with_sql", [True, False], ids=["with SQL", "API only"])
def test_what_runs_is_what_the_plan_printed(shop: Desk, with_sql: bool) -> None:
    damage(shop)
    sql = shop.sql if with_sql else []
    plan, path = shop.plan(*sql, "-o", shop.path("plan.json")), shop.path("plan.json")
    assert shop.stackmend("run", "--plan", path, "--yes", *sql).code == 0
    assert unplanned(plan, happened(shop)) == []
    kept = shop.stackmend("show", "last", "-f", "json").data["plan"]
    assert kept == plan


def test_every_effect_is_printed_for_people_too(shop: Desk) -> None:
    damage(shop)
    plan = shop.plan(*shop.sql)
    text = shop.stackmend("plan", "power-loss", *quick(), *shop.sql).out
    for lane in effects(plan):
        assert all(effect["text"] in text for _, effect in lane)
    assert "point of no return" in text


def test_the_plan_changes_nothing(shop: Desk) -> None:
    damage(shop)
    before, guests = shop.rows(), shop.cloud.state()["guests"]
    shop.cloud.clear_journal()
    shop.plan(*shop.sql)
    shop.plan()
    assert shop.stackmend("capture", "power-loss", "-o", shop.path("capture.json"), *shop.sql).code == 0
    assert shop.stackmend("doctor", *shop.sql).code == 0
    assert (shop.touched(), shop.calls()) == ([], [])
    now = shop.rows()
    assert {name: now[name] == before[name] for name in now if not name.startswith("neutron")} == {
        name: True for name in now if not name.startswith("neutron")
    }
    assert shop.cloud.state()["guests"] == guests
    assert shop.stackmend("list", "-f", "json").data == []
