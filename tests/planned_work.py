"""Planned work, done again and again: what it comes to undisturbed, and what when its process dies on the way."""

from collections import Counter
from typing import Any

from calm import service
from desk import Desk
from mortality import KILLED, Life, Nursery
from rehearsal import essence, left_behind

SEED: dict[str, Any] = {
    "hosts": 3,
    "servers": [
        {"name": "db", "host": "sim-c01", "root": "volume"},
        {"name": "idle", "host": "sim-c01", "status": "SHUTOFF"},
    ],
}
_MOST_ROUNDS = 8


class PlannedWork:
    """Commands that are typed one after the other, until the run's state is ``end``.

    Its process dies at an instant, counted over all of them; then whoever comes types what `status` says.
    """

    def __init__(self, desk: Desk, nursery: Nursery, start: list[str], end: str = "done", revert: bool = False) -> None:
        self.desk = desk
        self._nursery = nursery
        self._start = [*start, "--yes", "--key", "work"]
        self._end = end
        self._revert = revert
        self._forward = 0
        # One lane at a time: the instants then come in the same order every time.
        desk.settings(inventory=desk.cloud.description["inventory"], lanes=1, settle=0.2, poll_interval=0.02)
        desk.cloud.snapshot("calm")
        self.set_up()
        self.instants = self.go_on(None)
        self.effects, self.truth = self.effects_now(), self.truth_now()

    def moments(self, every: int) -> list[int]:
        """Each ``every``-th instant around the writes, and each third of those around the effects; or all, for 1.

        Of work that is reverted only those of the revert: what is before them is the same work's without it.
        """
        # By threes, so that the two sides of an effect take turns.
        around = [number for number, what in enumerate(self.instants, 1) if "a commit" not in what]
        found = {*(around if every == 1 else around[::3]), *range(1, len(self.instants) + 1, every)}
        return sorted(number for number in found if number > self._forward)

    def set_up(self) -> None:
        """Nothing has been done yet."""
        self.desk.cloud.restore("calm")
        self.desk.cloud.clear_journal()
        for file in self.desk.directory.glob("runs.sqlite*"):
            file.unlink()

    def go_on(self, die_at: int | None) -> list[str]:
        """Type what is due until the end, dying at one instant on the way; every instant that was lived through."""
        instants: list[str] = []
        for _ in range(_MOST_ROUNDS):
            if not (words := self._due()):
                return instants
            if words[0] == "revert":
                self._forward = self._forward or len(instants)
            left = None if die_at is None or len(instants) >= die_at else die_at - len(instants)
            life = self.command(words, left)
            instants += life.instants
            where = (
                f"{words} after instant {die_at} ({instants[die_at - 1] if die_at and len(instants) >= die_at else ''})"
            )
            assert life.code in (0, 6, KILLED) or self._revert, f"{where}: {life.err}"
        raise AssertionError(f"not at its end after {_MOST_ROUNDS} commands: {self._state()}")

    def command(self, words: list[str], die_at: int | None = None) -> Life:
        """A command in a process of its own."""
        return self._nursery.command(self.desk.environment(), words, die_at)

    def effects_now(self) -> Counter[tuple[str, str]]:
        """What has really happened, counted; a new attachment has a new id each time, and who looks changes nothing."""
        effects = [
            effect
            for effect in self.desk.cloud.journal()
            if effect["kind"] != "ssh.command" and not effect["kind"].startswith("power.")
        ]
        return Counter(
            (effect["kind"], "" if effect["kind"].startswith("attachment.") else str(effect["target"]))
            for effect in effects
        )

    def truth_now(self) -> dict[str, Any]:
        """Everything that the work changes, and the services."""
        kept = ("status", "forced_down")
        flags = {host: [service(host)[name] for name in kept] for host in ("sim-c01", "sim-c02")}
        processes = sorted(tuple(row.values()) for row in self.desk.cloud.state()["processes"])
        return {**essence(self.desk), "services": flags, "processes": processes, "left": left_behind(self.desk.store)}

    def _due(self) -> list[str]:
        state = self._state()
        if state == self._end:
            return []
        if state is None:
            return self._start
        if state == "awaiting-approval":
            return ["approve", "work"]
        if state == "awaiting-operator":
            return ["revert", "work"] if self._revert else ["approve", "work"]
        # A revert that died before the store knew of it is asked for again.
        if state in ("done", "done-with-exceptions") and self._revert:
            return ["revert", "work"]
        return ["resume", "work"]

    def _state(self) -> str | None:
        if not self.desk.stackmend("list", "-f", "json").data:
            return None
        return str(self.desk.stackmend("status", "work", "-f", "json").data["state"])
