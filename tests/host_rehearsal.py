"""One host's death or return, struck again and again: what an uninterrupted run comes to, and what another did."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from living import LivingDesk, asked
from mortality import KILLED, Life, Nursery
from rehearsal import essence, left_behind

# What changes something for good; the rest of the journal only follows from it.
KINDS = ("server.", "service.", "allocation.", "host.reset", "host.process.start", "host.cleanup")
SERVERS: list[dict[str, Any]] = [
    {"name": "db", "host": "sim-c01", "root": "volume", "volumes": [{"name": "db-data"}]},
    {"name": "web", "host": "sim-c01", "root": "volume", "metadata": {"stackmend:after": "db"}},
    {"name": "idle", "host": "sim-c01", "root": "volume", "status": "SHUTOFF"},
]


class HostRehearsal:
    """A procedure for sim-c01, from the same beginning each time."""

    def __init__(
        self,
        desk: LivingDesk,
        nursery: Nursery,
        procedure: str,
        begin: Callable[[LivingDesk], None],
        **parameters: Any,
    ) -> None:
        self.desk = desk
        self.procedure = procedure
        self._nursery = nursery
        options = asked(procedure, parameters)
        self._words = ["run", procedure, "sim-c01", "--yes", "--key", "incident", *options]
        begin(desk)
        # One lane at a time: the instants then come in the same order every time.
        desk.settings(lanes=1, settle=0.3)
        desk.cloud.snapshot("struck")
        self.life = self.strike()
        assert self.life.code == 0, self.life.err
        self.effects, self.rows, self.guests = self.effects_now(), essence(desk), desk.guests()

    def set_up(self) -> None:
        """The beginning."""
        self.desk.cloud.restore("struck")
        self.desk.cloud.clear_journal()
        for file in self.desk.directory.glob("runs.sqlite*"):
            file.unlink()

    def strike(self, die_at: int | None = None) -> Life:
        """The whole, dying at one instant."""
        self.set_up()
        return self.again(die_at)

    def again(self, die_at: int | None = None) -> Life:
        """The procedure, from where the cloud stands."""
        return self.command(self._words, die_at)

    def command(self, words: Sequence[str], die_at: int | None = None) -> Life:
        """A command in a process of its own."""
        return self._nursery.command(self.desk.environment(), list(words), die_at)

    def finish(self) -> Life:
        """What an operator does after a crash: resume, approve first where it was too early for that."""
        rows = json.loads(self.command(["list", "-f", "json"]).out)
        if not rows:
            return self.command(self._words)
        if rows[0]["State"] == "awaiting-approval":
            assert self.command(["approve", "incident"]).code == 0
        return self.command(["status" if rows[0]["State"] == "done" else "resume", "incident"])

    def survives(self, die_at: int) -> None:
        """Killed at that instant and resumed, it ends as a run that was not interrupted; nothing is left behind."""
        life = self.strike(die_at)
        assert life.code == KILLED, life.err
        where = f"instant {die_at}: {life.instants[-1]}"
        finished = self.finish()
        assert finished.code == 0, f"{where}: {finished.err}"
        self.as_it_was(where)
        assert left_behind(self.desk.store) == [], where

    def effects_now(self) -> Counter[tuple[str, str]]:
        """What has really happened, counted."""
        return Counter((effect["kind"], str(effect["target"])) for effect in self.desk.cloud.journal(*KINDS))

    def moments(self, every: int, since: str = "") -> list[int]:
        """Each instant around an effect, and one of ``every`` others, from the first whose name begins so."""
        named = list(enumerate(self.life.instants, 1))
        first = next(place for place, name in named if name.startswith(since))
        others = [place for place, name in named if "commit" in name and place > first]
        return sorted({*others[::every], *(place for place, name in named if "commit" not in name and place >= first)})

    def as_it_was(self, where: str) -> None:
        """The end is that of a run that was not interrupted, each effect once."""
        assert self.effects_now() == self.effects, where
        assert essence(self.desk) == self.rows, where
        assert self.desk.guests() == self.guests, where
