"""Every kind of damage, each on servers of its own: what can be put right is, the rest is named and left alone."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, MakeDesk, verdicts
from effects import break_shop

STATUSES = ("available", "error", "detaching", "attaching", "reserved", "maintenance", "error_deleting")
VOLUME_KINDS = (
    *(f"volume-{status}" for status in STATUSES),
    *("volume-attach-status-detached", "volume-available-detached", "volume-attachments-deleted"),
    *("attachment-deleted", "bdm-deleted"),
)
TASKS = ("rebooting", "rebooting_hard", "reboot_started_hard", "powering-off", "powering-on", "image_snapshot")
SERVER_KINDS = ("server-error", "guest-lost", "port-down", *(f"server-stuck-{task}" for task in TASKS))
BUSY_KINDS = ("server-stuck-migrating", "server-stuck-deleting")
PLACES = ("data", "root", "shared", "stopped")
# A mapping that nova lost, of its root disk, can't be brought back by any call.
NEVER = {"root of bdm-deleted"}
# An attachment that cinder lost, where a reboot would make nova drop the disk for good: only SQL brings it back.
NEEDS_SQL = {
    f"{place} of {kind}"
    for place in ("root", "stopped")
    for kind in ("volume-attachments-deleted", "attachment-deleted")
}
_DISK = ("volume_id", "device", "tag", "delete_on_termination", "status", "attach_status", "at_nova", "at_cinder")


def _server(place: str, kind: str, twin: str = "") -> dict[str, Any]:
    name = f"{place} of {kind}"
    volume: dict[str, Any] = {"name": f"disk {name}", "tag": "data" if place == "data" else None}
    volume["delete_on_termination"] = place == "data"
    if place == "shared":
        volume = {"shared": f"disk {name}"}
    return {
        "name": name + twin,
        "root": "volume" if place == "root" else "image",
        "status": "SHUTOFF" if place == "stopped" else "ACTIVE",
        "volumes": [] if place == "root" else [volume],
    }


def _seed() -> Iterator[dict[str, Any]]:
    for kind in VOLUME_KINDS:
        for place in PLACES:
            yield _server(place, kind)
        yield _server("shared", kind, ", twin")
    for kind in (*SERVER_KINDS, *BUSY_KINDS):
        yield {"name": kind, "volumes": [{}]}


def _damage(desk: Desk) -> None:
    attachments = {row["volume_id"]: row["id"] for row in desk.table("cinder", "volume_attachment")}
    for kind in VOLUME_KINDS:
        for place in PLACES:
            name = f"{place} of {kind}"
            volume = desk.volumes[f"{name}-root" if place == "root" else f"disk {name}"]
            desk.cloud.damage(kind, attachments[volume] if kind == "attachment-deleted" else volume)
    for kind in (*SERVER_KINDS, *BUSY_KINDS):
        desk.cloud.damage(kind, desk.ports[kind] if kind == "port-down" else desk.servers[kind])


def captured(desk: Desk, name: str) -> dict[str, Any]:
    """What must be as it was, by server name: states, disks, ports; not the ids that a new attachment gets."""
    ended = desk.stackmend("capture", "power-loss", "-o", desk.path(name), *desk.sql)
    assert ended.code == 0, ended.err
    servers = json.loads(Path(desk.path(name)).read_text())["servers"]
    return {
        server["name"]: {
            **{key: server[key] for key in ("vm_state", "power_state", "task_state", "ports")},
            "disks": [{key: disk[key] for key in _DISK} for disk in server["disks"]],
        }
        for server in servers
    }


@pytest.mark.parametrize("with_sql", [True, False], ids=["with SQL", "API only"])
def test_every_damage_ends_as_captured_or_is_refused(make_desk: MakeDesk, with_sql: bool) -> None:
    desk = make_desk(hosts=6, servers=list(_seed()))
    before = captured(desk, "before.json")
    _damage(desk)
    damaged, sql = captured(desk, "damaged.json"), desk.sql if with_sql else []
    refused = NEVER | set(BUSY_KINDS) | (set() if with_sql else NEEDS_SQL)
    plan = desk.plan("--capture", desk.path("before.json"), *sql)
    assert {name for name, item in verdicts(plan).items() if item["verdict"] == "impossible"} == refused
    desk.cloud.clear_journal()
    ended = desk.run("--capture", desk.path("before.json"), *sql)
    assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
    after = captured(desk, "after.json")
    expected = {name: damaged[name] if name in refused else _expected(before[name], name, with_sql) for name in before}
    assert {name: after[name] for name in after if after[name] != expected[name]} == {}
    running = {name for name in before if not name.startswith("stopped") and name not in refused}
    assert Counter(desk.rebooted()) == Counter(running)


def _expected(before: dict[str, Any], name: str, with_sql: bool) -> dict[str, Any]:
    status, attach_status = "in-use", "attached"
    if name.partition(", ")[0].endswith("of volume-error_deleting"):
        status = "error_deleting"
    if "attach-status-detached" in name and not with_sql:
        attach_status = "detached"
    disks = [{**disk, "status": status, "attach_status": attach_status} for disk in before["disks"]]
    if name == "stopped of bdm-deleted":
        disks = [{**disk, "at_nova": False, "tag": None, "delete_on_termination": False} for disk in disks]
    return {**before, "disks": disks}


def test_damage_of_every_kind_together(shop: Desk) -> None:
    before = captured(shop, "before.json")
    break_shop(shop)
    for kind in ("volume-error", "volume-attachments-deleted"):
        shop.cloud.damage(kind, shop.volumes["node-b-vol2"])
    shop.cloud.damage("server-stuck-image_snapshot", shop.servers["node-b"])
    shop.cloud.damage("heartbeat-stale", "sim-c01")
    shop.cloud.clear_journal()
    ended = shop.run("--capture", shop.path("before.json"), *shop.sql)
    assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
    after = captured(shop, "after.json")
    assert {name: after[name] for name in after if after[name] != before[name]} == {}
    assert Counter(shop.rebooted()) == Counter(name for name in before if name != "old-1")
    report = shop.stackmend("report", "last", "-f", "json").data
    (swept,) = [lane for lane in report["lanes"] if lane["stage"] == "sweep"]
    assert swept["steps"][0]["evidence"]["leftovers"] == []


def test_a_shared_volume_that_another_server_is_just_given_again(make_desk: MakeDesk) -> None:
    """While it is attached there, cinder says of all of it that it is being attached: also to whom it hangs on."""
    shared = {"volumes": [{"shared": "cluster"}]}
    desk = make_desk(
        hosts=2, servers=[{"name": name, "host": f"sim-c0{n}", **shared} for n, name in ((1, "a"), (2, "b"))]
    )
    (lost,) = [
        row["id"] for row in desk.table("cinder", "volume_attachment") if row["instance_uuid"] == desk.servers["a"]
    ]
    before = captured(desk, "before.json")
    desk.cloud.damage("attachment-deleted", lost)
    # b's reboot ends while a's attachment is under way.
    desk.cloud.settings(attach_seconds=2.0)
    desk.cloud.fault("slow", service="compute", method="POST", path=f"{desk.servers['b']}/action", seconds=1.0)
    ended = desk.run("--capture", desk.path("before.json"), *desk.sql)
    assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
    assert captured(desk, "after.json") == before
