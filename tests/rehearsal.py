"""One power loss, struck again and again: what an uninterrupted recovery of it comes to, and what another did."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from desk import Desk, quick
from mortality import Life, Nursery

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

    def set_up(self) -> None:
        """The power has just come back, and nobody has done anything yet."""
        self.desk.cloud.restore("struck")
        self.desk.cloud.clear_journal()
        for file in self.desk.directory.glob("runs.sqlite*"):
            file.unlink()

    def recover(self, die_at: int | None = None) -> Life:
        """The recovery from its beginning, dying at one instant."""
        asked = ["run", "power-loss", "--yes", "--key", "loss", "--capture", self.capture, *quick()]
        return self.command([*asked, *self.desk.sql], die_at)

    def strike(self, die_at: int | None) -> Life:
        """The power loss and its recovery, dying at one instant."""
        self.set_up()
        return self.recover(die_at)

    def command(self, words: list[str], die_at: int | None = None) -> Life:
        """A command in a process of its own."""
        return self.nursery.command(self.desk.environment(), words, die_at)

    def finish(self) -> Life:
        """What an operator does after a crash: resume, approve first where it was too early for that."""
        found = self.command(["list", "-f", "json"])
        if not json.loads(found.out):
            return self.recover()
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
        found[table] = sorted(tuple(str(row[name]) for name in columns) for row in live)
    return found


def left_behind(store: Path) -> list[Any]:
    """Locks that are still held, and runs that still have an owner."""
    with closing(sqlite3.connect(store)) as link:
        locks = link.execute("SELECT target FROM stackmend_locks").fetchall()
        owners = link.execute("SELECT id FROM stackmend_runs WHERE owner IS NOT NULL").fetchall()
    return [*locks, *owners]
