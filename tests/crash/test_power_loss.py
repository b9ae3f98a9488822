"""power-loss, killed at every instant and resumed: each effect once, and the end as if it had not been killed."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from desk import QUICK, Desk
from mortality import KILLED, Life, Nursery

# Every kind of step: an attachment brought back, a status reset, a stuck task cleared, a reboot, a disk attached
# again, a guest rebooted from inside; and a server that must be left alone.
SEED = {
    "hosts": 2,
    "servers": [
        {"name": "db", "host": "sim-c01", "root": "volume", "volumes": [{"name": "db-data", "tag": "data"}]},
        {
            "name": "web",
            "host": "sim-c02",
            "volumes": [{"name": "web-data", "delete_on_termination": True}],
            "metadata": {"stackmend:after": "db", "stackmend:ssh-reboot": "true"},
            "ssh": True,
        },
        {"name": "idle", "host": "sim-c01", "status": "SHUTOFF", "volumes": [{"name": "idle-data"}]},
    ],
}
DAMAGE = (
    ("volume-attachments-deleted", "volumes", "db-root"),
    ("volume-available-detached", "volumes", "db-data"),
    ("volume-attachments-deleted", "volumes", "web-data"),
    ("server-stuck-powering-off", "servers", "web"),
)
# The instants are dealt out to this many tests, so that several processes can share them.
HANDS = 6


class Rehearsal:
    """The same power loss again and again, and what must come of it."""

    def __init__(self, desk: Desk, nursery: Nursery) -> None:
        self.desk = desk
        self.nursery = nursery
        self.capture = desk.path("before.json")
        assert desk.stackmend("capture", "power-loss", "-o", self.capture, *desk.sql).code == 0
        for kind, what, name in DAMAGE:
            desk.cloud.damage(kind, getattr(desk, what)[name])
        # One lane at a time: the instants then come in the same order every time.
        desk.settings(lanes=1, settle=0.3)
        desk.cloud.snapshot("struck")
        life = self.strike(None)
        assert life.code == 0, life.err
        self.effects, self.rows = self.effects_now(), essence(desk)

    def strike(self, die_at: int | None) -> Life:
        """The recovery from its beginning, dying at one instant."""
        self.desk.cloud.restore("struck")
        self.desk.cloud.clear_journal()
        for file in self.desk.directory.glob("runs.sqlite*"):
            file.unlink()
        asked = ["run", "power-loss", "--yes", "--key", "loss", "--capture", self.capture, *QUICK]
        return self.command([*asked, *self.desk.sql], die_at)

    def command(self, words: list[str], die_at: int | None = None) -> Life:
        """A command in a process of its own."""
        return self.nursery.command(self.desk.environment(), words, die_at)

    def finish(self) -> Life:
        """What an operator does after a crash: resume, approve first where it was too early for that."""
        found = self.command(["list", "-f", "json"])
        if not json.loads(found.out):
            asked = ["run", "power-loss", "--yes", "--key", "loss", "--capture", self.capture, *QUICK]
            return self.command([*asked, *self.desk.sql])
        if json.loads(found.out)[0]["State"] == "awaiting-approval":
            assert self.command(["approve", "loss"]).code == 0
        if json.loads(found.out)[0]["State"] == "done":
            return self.command(["status", "loss"])
        return self.command(["resume", "loss", *self.desk.sql])

    def effects_now(self) -> Counter[tuple[str, str]]:
        """What has really happened in the cloud, counted; a new attachment has a new id each time."""
        effects = [effect for effect in self.desk.touched() if effect["kind"] != "ssh.command"]
        return Counter(
            (effect["kind"], "" if effect["kind"].startswith("attachment.") else str(effect["target"]))
            for effect in effects
        )

    def steps(self) -> dict[str, Any]:
        """The finished steps and when each one ended, as the report tells it without a cloud."""
        found = self.command(["report", "loss", "-f", "json"])
        if found.code != 0:
            return {}
        lanes = json.loads(found.out)["lanes"]
        return {step["name"]: step["ended"] for lane in lanes for step in lane["steps"] if step["state"] == "done"}


def essence(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """The cloud's rows that a recovery is for, without ids and times that a new attachment gets anew."""
    wanted = {
        ("nova", "instances"): ("uuid", "vm_state", "task_state", "power_state", "host"),
        ("nova", "block_device_mapping"): ("instance_uuid", "volume_id", "device_name", "tag", "delete_on_termination"),
        ("cinder", "volumes"): ("id", "status", "attach_status"),
        ("cinder", "volume_attachment"): ("volume_id", "instance_uuid", "mountpoint", "attach_status"),
        ("neutron", "ports"): ("id", "status", "device_id"),
    }
    found = {}
    for (database, table), columns in wanted.items():
        live = [row for row in desk.table(database, table) if not row.get("deleted")]
        found[table] = sorted((tuple(str(row[name]) for name in columns) for row in live))
    return found


def left_behind(store: Path) -> list[Any]:
    """Locks that are still held, and runs that still have an owner."""
    with closing(sqlite3.connect(store)) as link:
        locks = link.execute("SELECT target FROM stackmend_locks").fetchall()
        owners = link.execute("SELECT id FROM stackmend_runs WHERE owner IS NOT NULL").fetchall()
    return [*locks, *owners]


@pytest.fixture
def rehearsal(make_desk: Any, tmp_path: Path) -> Iterator[Rehearsal]:
    """A power loss to be recovered from, and a nursery for those who die of it."""
    with Nursery(tmp_path) as nursery:
        yield Rehearsal(make_desk(**SEED), nursery)


@pytest.mark.parametrize("hand", range(HANDS))
def test_killed_at_every_instant_and_resumed(rehearsal: Rehearsal, hand: int) -> None:
    """Killed at instant k, for every k of this hand until the run outlives it."""
    died = 0
    for die_at in range(hand + 1, 10_000, HANDS):
        life = rehearsal.strike(die_at)
        if life.code == 0:
            break
        assert life.code == KILLED, life.err
        died += 1
        where = f"instant {die_at}: {life.instants[-1]}"
        done = rehearsal.steps()
        finished = rehearsal.finish()
        assert finished.code == 0, f"{where}: {finished.err}"
        assert rehearsal.effects_now() == rehearsal.effects, where
        assert essence(rehearsal.desk) == rehearsal.rows, where
        assert done.items() <= rehearsal.steps().items(), f"{where}: a finished step was executed again"
        assert left_behind(rehearsal.desk.store) == [], where
    assert died > 5, "the run has fewer instants than that"


def test_killed_twice(rehearsal: Rehearsal) -> None:
    """The resumer dies too, at instants of its own, and a third process finishes."""
    for first, second in ((21, 5), (30, 12), (38, 9), (44, 20)):
        assert rehearsal.strike(first).code == KILLED
        again = rehearsal.command(["resume", "loss", *rehearsal.desk.sql], second)
        assert again.code == KILLED, again.err
        finished = rehearsal.finish()
        assert finished.code == 0, finished.err
        assert rehearsal.effects_now() == rehearsal.effects, (first, second)
        assert essence(rehearsal.desk) == rehearsal.rows, (first, second)
