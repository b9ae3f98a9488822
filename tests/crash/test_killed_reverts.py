"""A revert that is killed and resumed takes back all that it was asked for: each effect once, nothing done anew."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, MakeDesk, quick
from mortality import KILLED, Life, Nursery
from truth import left_behind

# Of the instants, one of so many.
EVERY = int(os.environ.get("STACKMEND_TEST_EVERY", "7"))
NAMES = ("db", "web", "log")
SEED: dict[str, Any] = {
    "hosts": 2,
    "servers": [{"name": name, "host": "sim-c01", "volumes": [{"name": f"{name}-data"}]} for name in NAMES],
}


class Stopped:
    """A power loss whose recovery has put right every volume's rows, and came no further at any server."""

    def __init__(self, desk: Desk, nursery: Nursery) -> None:
        self.desk = desk
        self._nursery = nursery
        for name in NAMES:
            desk.cloud.damage("volume-available-detached", desk.volumes[f"{name}-data"])
        self.before = desk.rows()
        desk.settings(lanes=1, settle=0.3)
        desk.cloud.fault("status", status=409, service="compute", method="POST", body="reboot")
        assert desk.stackmend("run", "power-loss", "--yes", "--key", "loss", *quick(), *desk.sql).code == 3
        desk.cloud.clear_faults()
        assert desk.rows() != self.before
        desk.cloud.snapshot("stopped")
        shutil.copy(desk.store, desk.path("stopped.sqlite"))

    def command(self, *words: str, die_at: int | None = None) -> Life:
        """A command in a process of its own, dying at one instant."""
        return self._nursery.command(self.desk.environment(), [*words, "loss", *self.desk.sql], die_at)

    def revert(self, *words: str, die_at: int | None = None) -> Life:
        """The revert, from its beginning."""
        self.desk.cloud.restore("stopped")
        self.desk.cloud.clear_journal()
        for file in self.desk.directory.glob("runs.sqlite-*"):
            file.unlink()
        shutil.copy(self.desk.path("stopped.sqlite"), self.desk.store)
        return self.command("revert", *words, die_at=die_at)

    def go_on(self, *words: str) -> None:
        """What an operator does after a crash: resume, or ask again where the store knows nothing of a revert yet."""
        state = self.desk.status("loss")["state"]
        if state == "done-with-exceptions":
            life = self.command("revert", *words)
            # It may have died after its last write.
            assert life.code in (0, 3) or "nothing that could be reverted" in life.err, life.err
        elif state != "reverted":
            life = self.command("resume")
            assert life.code in (0, 3), life.err


@pytest.fixture
def stopped(make_desk: MakeDesk, tmp_path: Path) -> Iterator[Stopped]:
    with Nursery(tmp_path) as nursery:
        yield Stopped(make_desk(**SEED), nursery)


def test_killed_and_resumed(stopped: Stopped) -> None:
    whole = stopped.revert()
    assert whole.code == 0, whole.err
    rows, effects = stopped.desk.rows(), [effect["kind"] for effect in stopped.desk.touched()]
    assert rows == stopped.before
    for die_at in range(1, len(whole.instants) + 1, EVERY):
        assert stopped.revert(die_at=die_at).code == KILLED
        where = f"instant {die_at}: {whole.instants[die_at - 1]}"
        stopped.go_on()
        assert stopped.desk.status("loss")["state"] == "reverted", where
        assert stopped.desk.rows() == rows, where
        assert [effect["kind"] for effect in stopped.desk.touched()] == effects, where
        assert stopped.desk.rebooted() == [], where
        assert left_behind(stopped.desk.store) == [], where
    assert len(whole.instants) > len(NAMES) * 4


def test_only_the_lanes_that_were_named(stopped: Stopped) -> None:
    named = ("--lane", "db", "--lane", "web")
    whole = stopped.revert(*named)
    rows = stopped.desk.rows()
    assert stopped.before != rows
    for die_at in range(3, len(whole.instants) + 1, EVERY):
        assert stopped.revert(*named, die_at=die_at).code == KILLED
        stopped.go_on(*named)
        assert stopped.desk.rows() == rows, f"instant {die_at}: {whole.instants[die_at - 1]}"
        assert stopped.desk.rebooted() == []


def test_a_revert_that_failed_is_tried_again_and_not_the_step(stopped: Stopped) -> None:
    volume = stopped.desk.volumes["web-data"]
    stopped.desk.execute("cinder", "UPDATE volumes SET status = 'maintenance' WHERE id = ?", volume)
    assert stopped.command("revert").code == 4
    stopped.desk.execute("cinder", "UPDATE volumes SET status = 'in-use' WHERE id = ?", volume)
    life = stopped.command("retry")
    assert life.code == 0, life.err
    assert stopped.desk.status("loss")["state"] == "reverted"
    assert stopped.desk.rows() == stopped.before
    assert stopped.desk.rebooted() == []
