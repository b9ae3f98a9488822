"""A scenario played again and again: what it comes to undisturbed, and what when somebody dies on the way."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from living import LivingDesk
from matrix.scenarios import SCENARIOS, Scenario
from mortality import KILLED, Life, Nursery
from relocation import DatabaseDesk
from truth import apart, left_behind, truth

_MOST_COMMANDS = 8
# What `status` says next; `resume`, of any other state.
_NEXT = {"awaiting-operator": "approve", "done-with-exceptions": "retry", "needs-hands": "retry"}
# What follows from other effects, or changes nothing.
_QUIET = ("ssh.command", "power.")
# What bears a new id each time.
_ANEW = ("attachment.", "sql.insert")


@dataclass(frozen=True)
class Instant:
    """The ``number``-th of those with a name: between effects their number differs from one play to the next."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name} ({self.number})"

    def after(self, lived: Sequence[str]) -> "Instant":
        """The same instant, for somebody who has not seen those that were ``lived`` already."""
        return Instant(self.name, self.number - lived.count(self.name))


def numbered(lived: Sequence[str]) -> list[Instant]:
    """Instants by name and number, in their order."""
    seen: Counter[str] = Counter()
    return [Instant(name, seen[name]) for name in lived if not seen.update([name])]


@dataclass
class Played:
    """What was lived through: every instant, over all commands; the deaths, and the steps that were done by then.

    ``forward``: how many instants came before it was taken back, where it was.
    """

    instants: list[str] = field(default_factory=list)
    deaths: int = 0
    done: dict[str, Any] = field(default_factory=dict)
    err: str = ""
    forward: int = 0

    def kinds(self) -> Counter[str]:
        """How many instants of each kind."""
        return Counter(kind_of(name) for name in self.instants)


def kind_of(instant: str) -> str:
    """Around what an instant lies: an ``effect``, a ``write`` to the run store, a ``wait``."""
    if instant.endswith(" a commit"):
        return "write"
    return "wait" if instant.startswith("waiting") else "effect"


class Stage:
    """One scenario: the commands that are typed one after the other until the run has come to its end.

    Where a process dies, whoever comes types what `status` says; what failed is tried again. ``mutant`` is called in
    each process before its command (tests/mortality.py).
    """

    def __init__(self, desk: LivingDesk, nursery: Nursery, scenario: Scenario, mutant: str = "") -> None:
        self.desk = desk
        self._nursery = nursery
        self.mutant = ""
        self._reverted = scenario.reverted
        self._gives_way = scenario.gives_way
        # One lane at a time: the instants then come in the same order every time.
        desk.settings(lanes=1, settle=0.2, poll_interval=0.05)
        self.start = ["run", *scenario.begin(desk), "--yes", "--key", "work"]
        desk.cloud.snapshot("struck")
        self.before = truth(desk)
        self.whole = self.play()
        self.effects, self.truth = self.effects_now(), truth(desk)
        self.mutant = mutant

    def set_up(self) -> None:
        """It has just happened, and nobody has done anything yet."""
        self.desk.cloud.restore("struck")
        self.desk.cloud.clear_journal()
        for file in self.desk.directory.glob("runs.sqlite*"):
            file.unlink()

    def play(self, *deaths: Instant) -> Played:
        """All of it, from its beginning; the process of the moment dies at each of these instants, if they come."""
        self.set_up()
        return self.go_on(*deaths)

    def go_on(self, *deaths: Instant) -> Played:
        """What is left of it; instants are counted over all commands."""
        played, left = Played(), list(deaths)
        for _ in range(_MOST_COMMANDS + len(deaths)):
            if not (words := self.due()):
                return played
            if words[0] == "revert" and not played.forward:
                played.forward = len(played.instants)
            left = [death for death in left if death.number > played.instants.count(death.name)]
            life = self.command(words, left[0].after(played.instants) if left else None)
            played.instants += life.instants
            played.err += f"{' '.join(words)} ended with {life.code}\n{life.err}"
            if life.code == KILLED:
                played.deaths += 1
                played.done |= self.steps()
        raise AssertionError(f"not at its end after {_MOST_COMMANDS} commands, but {self.state()}: {played.err}")

    def points(self, every: int) -> list[Instant]:
        """The instants to die at: all, for 1; else some around each kind of effect, and one of ``every`` others.

        Of what is taken back only those of the revert: what is before them is the same work's without it.
        """
        found = numbered(self.whole.instants)[self.whole.forward :]
        if every == 1:
            return found
        effects = {one.name: one for one in reversed(found) if kind_of(one.name) == "effect"}
        others = [one for one in found if kind_of(one.name) != "effect"]
        # By fives, so that the four sides of an effect take turns.
        return [*list(effects.values())[::-5], *others[::every]]

    def survives(self, *deaths: Instant) -> Played:
        """Killed at these instants and resumed, it ends as it does undisturbed; nothing is left behind."""
        played = self.play(*deaths)
        self.as_undisturbed(", ".join(map(str, deaths)), played)
        return played

    def as_undisturbed(self, where: str, played: Played, refused: bool = False) -> None:
        """The end is that of a run that was not interrupted, each effect once; no finished step began again.

        ``refused``: the cloud has refused one for good, which may have given way to another.
        """
        told = f"{where}\n{played.err}"
        effects = self._effects_meant() if refused else self.effects_now()
        assert (effects - self.effects, self.effects - effects) == (Counter(), Counter()), told
        differs = apart(truth(self.desk), self.truth)
        if refused and self._gives_way:
            # Nova's record is of what came about instead.
            differs.pop("migrations", None)
        assert differs == {}, told
        assert left_behind(self.desk.store) == [], told
        if not self._reverted:
            assert played.done.items() <= self.steps().items(), f"a finished step was executed again: {told}"

    def command(self, words: list[str], death: Instant | None = None) -> Life:
        """A command in a process of its own, which dies at that instant, if it comes."""
        number, name = (death.number, death.name) if death else (None, "")
        return self._nursery.command(self.desk.environment(), words, number, name, self.mutant)

    def effects_now(self) -> Counter[tuple[str, str]]:
        """What has really happened in the cloud, counted."""
        effects = [one for one in self.desk.cloud.journal() if not one["kind"].startswith(_QUIET)]
        return Counter((one["kind"], "" if one["kind"].startswith(_ANEW) else str(one["target"])) for one in effects)

    def _effects_meant(self) -> Counter[tuple[str, str]]:
        """What has happened in the cloud; for what gave way to something else, what was meant."""
        found = self.effects_now()
        for (kind, target), times in (self.effects - found).items():
            instead = Counter({(other, target): times for other in self._gives_way.get(kind, ())})
            if instead and instead <= found - self.effects:
                found = found - instead + Counter({(kind, target): times})
        return found

    def steps(self) -> dict[str, Any]:
        """The finished steps and when each one ended, as the report tells it without a cloud."""
        found = self.desk.stackmend("report", "work", "-f", "json")
        lanes = json.loads(found.out)["lanes"] if found.code == 0 else []
        return {
            f"{lane['lane']} {step['name']}": step["ended"]
            for lane in lanes
            for step in lane["steps"]
            if step["state"] == "done"
        }

    def state(self) -> str | None:
        """The run's state, None while there is no run."""
        if not self.desk.stackmend("list", "-f", "json").data:
            return None
        return str(self.desk.status("work")["state"])

    def due(self) -> list[str]:
        """What is to be typed now, as `status` tells it; nothing at the end."""
        state = self.state()
        if state is None:
            return self.start
        if state == ("reverted" if self._reverted else "done"):
            return []
        if state == "awaiting-approval":
            return ["approve", "work"]
        # A revert that died before the store knew of it is asked for again.
        if self._reverted and state in ("awaiting-operator", "done", "done-with-exceptions"):
            return ["revert", "work"]
        return [_NEXT.get(state, "resume"), "work"]


MakeStage = Callable[..., Stage]


def stages(make_living: Callable[..., LivingDesk], nursery: Nursery) -> MakeStage:
    """Stages by the scenario's name."""

    def make(name: str, mutant: str = "") -> Stage:
        scenario = SCENARIOS[name]
        return Stage(make_living(DatabaseDesk, **scenario.seed), nursery, scenario, mutant)

    return make
