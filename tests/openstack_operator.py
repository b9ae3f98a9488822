"""An operator of the real OpenStack: types commands, some of which die, and has a directory for what they leave."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from mortality import KILLED, Life, Nursery
from waiting import until

from stackmend.engine.store import Store
from stackmend.errors import UnknownRun
from stackmend.lab.openstack.control import OpenStackLab

_DATABASES = ("nova", "cinder")


class Operator:
    """With a run store and settings of their own; ``nursery`` gives birth to the commands."""

    def __init__(self, lab: OpenStackLab, directory: Path, nursery: Nursery) -> None:
        self.directory = directory
        self._nursery = nursery
        self._confs = {name: str(lab.description["confs"][name]) for name in _DATABASES}
        named = {name: value for name, value in lab.environment().items() if name.startswith("OS_")}
        own = {"STACKMEND_CONFIG": str(directory / "stackmend.yaml"), "XDG_STATE_HOME": str(directory / "state")}
        self.environment = {**named, **own}
        self.settings()

    @property
    def sql(self) -> list[str]:
        """The options that give a command nova's and cinder's databases."""
        return [word for name, conf in self._confs.items() for word in ("--sql", f"{name}={conf}")]

    @property
    def databases(self) -> dict[str, str]:
        """The same as a setting."""
        return self._confs

    def settings(self, **changes: Any) -> None:
        """Write the settings file: quick polls, a short settling time, and ``changes``."""
        usual = {"store": self._store, "poll_interval": 0.5, "settle": 3}
        (self.directory / "stackmend.yaml").write_text(yaml.safe_dump({**usual, **changes}), encoding="utf-8")

    def types(self, *words: str, die_at: int | None = None) -> Life:
        """One command, to its end, or to its ``die_at``-th instant."""
        return self._nursery.command(self.environment, words, die_at)

    def finds(self, *words: str) -> Any:
        """What a command that must end well shows as JSON."""
        life = self.types(*words, "-f", "json")
        assert life.code == 0, life.err
        return json.loads(life.out)

    def is_killed(self, once: Callable[[], Any], what: str, *words: str) -> None:
        """Types a command that is killed (SIGKILL) in the middle: as soon as ``once`` holds."""
        command = [sys.executable, "-W", "ignore", "-m", "stackmend", *words]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "STACKMEND_"))}
        log = self.directory / "killed.log"
        with log.open("w") as out:
            process = subprocess.Popen(command, env={**inherited, **self.environment}, stdout=out, stderr=out)
            try:
                until(lambda: process.poll() is not None or once(), what, 300)
            finally:
                process.kill()
            assert process.wait() == KILLED, f"it ended before {what}: {log.read_text()}"

    def status(self, key: str) -> dict[str, Any]:
        """How a run stands."""
        found: dict[str, Any] = json.loads(self.types("status", key, "-f", "json").out)
        return found

    def report(self, key: str) -> dict[str, Any]:
        """What a run came to."""
        found: dict[str, Any] = self.finds("report", key)
        return found

    def lanes_done(self, key: str) -> list[str]:
        """The titles of a run's lanes that are done, read from the run store itself; none before there is a run."""
        store = Store(self._store)
        try:
            return [lane.title for lane in store.lanes(store.run(store.find(key))) if lane.state == "done"]
        except UnknownRun:
            return []
        finally:
            store.close()

    @property
    def _store(self) -> str:
        return f"sqlite:///{self.directory}/runs.sqlite"


@contextlib.contextmanager
def operator_of(lab: OpenStackLab, directory: Path) -> Iterator[Operator]:
    """An operator, for as long as they are needed."""
    with Nursery(directory) as nursery:
        yield Operator(lab, directory, nursery)
