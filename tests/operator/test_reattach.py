"""reattach-volumes: volumes hang on their servers again, at their own devices, each taken off and hung on once."""

import json
from collections import Counter
from typing import Any

import pytest
from desk import Desk, Ended, assert_refused, verdicts

RUN = ("run", "reattach-volumes", "--yes", "-f", "json", "-p", "boot_timeout=5", "-p", "attach_timeout=5")
COMPUTE = {"service": "compute"}


def again(desk: Desk, *words: str) -> Ended:
    """Detach and attach what both services show."""
    return desk.stackmend(*RUN, "--again", "--key", "disks", *words)


def disk(desk: Desk, volume: str) -> dict[str, Any]:
    """What nova maps of a volume, without what each new mapping has of its own."""
    rows = [
        row
        for row in desk.table("nova", "block_device_mapping")
        if row["volume_id"] == desk.volumes[volume] and not row["deleted"]
    ]
    assert len(rows) == 1, rows
    return {name: rows[0][name] for name in ("instance_uuid", "device_name", "tag", "delete_on_termination")}


def moved(desk: Desk) -> list[tuple[str, str]]:
    """What was taken off and hung on, in order: the effect and the volume's name."""
    names = {value: name for name, value in desk.volumes.items()}
    return [
        (effect["kind"], names[effect["target"]]) for effect in desk.cloud.journal("volume.attach", "volume.detach")
    ]


def take_off(desk: Desk, server: str, volume: str) -> None:
    """Detach a volume as a user would."""
    ended = desk.osc("server", "remove", "volume", desk.servers[server], desk.volumes[volume])
    assert ended.code == 0, ended.err


def test_each_volume_is_taken_off_and_hung_on_once_at_its_own_device(pair: Desk) -> None:
    before = disk(pair, "db-data"), disk(pair, "web-data")
    ended = again(pair)
    assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
    assert (disk(pair, "db-data"), disk(pair, "web-data")) == before
    assert sorted(moved(pair)) == [
        (kind, volume) for kind in ("volume.attach", "volume.detach") for volume in ("db-data", "web-data")
    ]


def test_what_agrees_is_left_alone_unless_asked(pair: Desk) -> None:
    ended = pair.stackmend(*RUN)
    assert ended.code == 0
    assert "nothing to do" in ended.err
    assert pair.touched() == []


def test_a_stopped_server_is_left_alone(pair: Desk) -> None:
    plan = pair.stackmend("plan", "reattach-volumes", "-f", "json", "--again").data
    found = verdicts(plan)
    assert (found["idle"]["verdict"], found["db"]["verdict"]) == ("impossible", "ready")
    assert "only while the guest is up" in found["idle"]["why"]


def test_a_root_disk_is_never_taken_off(pair: Desk) -> None:
    plan = pair.stackmend("plan", "reattach-volumes", "-f", "json", "--again").data
    (root,) = (item for item in plan["verdicts"] if item["target"] == f"volume:{pair.volumes['db-root']}")
    assert root["verdict"] == "nothing-to-do"
    assert pair.volumes["db-root"] not in json.dumps(plan["lanes"])


def test_what_was_lost_since_an_earlier_capture_is_hung_on_again(pair: Desk) -> None:
    capture = pair.path("before.json")
    assert pair.stackmend("capture", "power-loss", "-o", capture).code == 0
    before = disk(pair, "db-data")
    take_off(pair, "db", "db-data")
    pair.cloud.clear_journal()
    ended = pair.stackmend(*RUN, "--capture", capture)
    assert ended.code == 0, ended.err
    assert disk(pair, "db-data") == before
    assert moved(pair) == [("volume.attach", "db-data")]


def test_a_shared_volume_comes_back_to_both_of_its_servers(shop: Desk) -> None:
    attached = Counter(row["volume_id"] for row in shop.table("cinder", "volume_attachment"))
    (shared,) = [name for name, volume in shop.volumes.items() if attached[volume] == 2]
    ended = again(shop, "--volume", shop.volumes[shared])
    assert ended.code == 0, ended.err
    kinds = [kind for kind, name in moved(shop) if name == shared]
    assert sorted(kinds) == ["volume.attach"] * 2 + ["volume.detach"] * 2


def test_nova_alone_knows_it_and_the_row_comes_back(pair: Desk) -> None:
    pair.cloud.damage("volume-attachments-deleted", pair.volumes["web-data"])
    plan = pair.stackmend("plan", "reattach-volumes", "-f", "json").data
    assert verdicts(plan)["web"]["verdict"] == "impossible"
    ended = pair.stackmend(*RUN, *pair.sql)
    assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
    (volume,) = (row for row in pair.table("cinder", "volumes") if row["id"] == pair.volumes["web-data"])
    assert (volume["status"], volume["attach_status"]) == ("in-use", "attached")
    assert moved(pair) == []


def test_a_revert_hangs_it_on_again(pair: Desk) -> None:
    before = disk(pair, "web-data")
    pair.cloud.fault("status", status=409, method="POST", path="os-volume_attachments", **COMPUTE)
    assert again(pair, "--server", "web").code == 3
    pair.cloud.clear_faults()
    ended = pair.stackmend("revert", "disks", "-f", "json")
    assert (ended.code, ended.data["state"]) == (0, "reverted"), ended.err
    assert disk(pair, "web-data") == before
    assert moved(pair) == [("volume.detach", "web-data"), ("volume.attach", "web-data")]


@pytest.mark.parametrize("kind", ["refused", "cut-before", "cut-after"])
@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_one_lost_call_changes_nothing_in_the_end(pair: Desk, method: str, kind: str) -> None:
    before = disk(pair, "web-data")
    pair.settings(settle=0.2)
    pair.cloud.fault(kind, method=method, path="os-volume_attachments", times=1, **COMPUTE)
    ended = again(pair, "--server", "web")
    assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
    assert disk(pair, "web-data") == before
    assert moved(pair) == [("volume.detach", "web-data"), ("volume.attach", "web-data")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--volume", "no-such"), "volume no-such hangs on no server"),
        (("--server", "no-such"), "there is no server no-such"),
        (("c01",), "takes nothing behind its name"),
    ],
)
def test_what_is_not_there(pair: Desk, words: tuple[str, ...], said: str) -> None:
    assert_refused(pair, pair.stackmend("plan", "reattach-volumes", *words), 2, said)


def test_the_old_schema_is_sent_elsewhere(old_pair: Desk) -> None:
    assert_refused(old_pair, old_pair.stackmend("plan", "reattach-volumes", *old_pair.sql), 2, "power-loss")
