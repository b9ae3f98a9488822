"""Commands that stand still at a chosen instant, whole, until somebody lets them go on."""

import contextlib
import itertools
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from matrix import disturbances
from matrix.disturbances import AT, PID
from matrix.stage import Instant, Stage, kind_of, numbered
from mortality import Life, Nursery
from waiting import until

Disturbance = Callable[[], None]
_LONGEST = 120.0
_NEVER = Instant("the end of time", 1)
_NUMBERS = itertools.count()


class Command:
    """A command that is under way, and is disturbed ``at`` an instant; without one, before it has done anything."""

    def __init__(
        self,
        nursery: Nursery,
        stage: Stage,
        words: Sequence[str],
        at: Instant | None = None,
        how: Disturbance = disturbances.halted,
    ) -> None:
        self._nursery, self._stage, self._how = nursery, stage, how
        self._pid = Path(stage.desk.path(f"pid-{next(_NUMBERS)}"))
        moment = {AT: f"{at.number} {at.name}" if at else "", PID: str(self._pid)}
        pool = ThreadPoolExecutor(1)
        told = {**stage.desk.environment(), **moment}
        self._life: Future[Life] = pool.submit(nursery.command, told, words, mutant=named(how))
        pool.shutdown(wait=False)

    @property
    def pid(self) -> int:
        """Its process."""
        until(self._pid.exists, "it has begun", _LONGEST)
        return int(self._pid.read_text(encoding="ascii"))

    def stood(self) -> bool:
        """Wait until it stands still; False when it came to its end before that."""
        until(lambda: self.ended or stands(self.pid), "it stands still", _LONGEST)
        return not self.ended

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self._life.done()

    def go_on(self) -> None:
        """Let it go on, unless it came to its end before it was stopped."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def another(self, words: Sequence[str]) -> Life:
        """Another command, of the same user, from its beginning to its end; this one has ended."""
        return Command(self._nursery, self._stage, words, _NEVER, self._how).life()

    def to_its_end(self) -> Life:
        """Let it go on; returns how it ended."""
        self.go_on()
        return self.life()

    def life(self) -> Life:
        """How it ended, once it has."""
        return self._life.result(_LONGEST)

    def leave(self) -> None:
        """End it, where it has not ended."""
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            self.life()


@contextlib.contextmanager
def halted(nursery: Nursery, stage: Stage, at: Instant, how: Disturbance = disturbances.halted) -> Iterator[Command]:
    """The stage, played from its beginning until this instant, counted over all commands."""
    stage.set_up()
    while not (command := Command(nursery, stage, stage.due(), at, how)).stood():
        at = at.after(command.life().instants)
    try:
        yield command
    finally:
        command.leave()


def sampled(stage: Stage, times: int, chance: random.Random) -> list[Instant]:
    """Some instants of the stage, of those that come in every play: how often it looks and saves differs a little."""
    return chance.sample(_steady(stage), times)


def sampled_owned(stage: Stage, times: int, chance: random.Random, share: float = 1.0) -> list[Instant]:
    """Some from the first effect on, when the process has taken the run; and of these only the first ``share``.

    None of them right before an effect: no lease covers the moment between the last look at it and the call's leaving.
    And none inside a transaction, which would hold up whoever takes the run over.
    """
    found = _steady(stage)
    first = next(place for place, one in enumerate(found) if kind_of(one.name) == "effect")
    owned = found[first : first + round((len(found) - first) * share)]
    leaving = [one for one in owned if one.name.startswith("before")]
    return chance.sample([one for one in owned if one not in leaving], times)


def _steady(stage: Stage) -> list[Instant]:
    often = Counter(stage.whole.instants)
    found = numbered(stage.whole.instants)[stage.whole.forward :]
    return [one for one in found if _counted(one.name) or one.number <= max(1.0, often[one.name] * 0.7)]


def _counted(name: str) -> bool:
    # Commands over SSH look as often as it takes; calls that change something are as many in every play.
    return kind_of(name) == "effect" and not name.endswith("ssh command")


def named(disturbance: Disturbance) -> str:
    """How a child is told of a disturbance."""
    return f"{disturbance.__module__}.{disturbance.__name__}"


def stands(pid: int) -> bool:
    """Whether all of a process has been stopped."""
    return _kernel_state(pid) == "T"


def _kernel_state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def paused(pid: int, store: Path) -> bool:
    """Pause a process, unless that is while it writes to the run store: then it goes on, and False.

    True as well where it came to its end meanwhile.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    until(lambda: _kernel_state(pid) in "TZX", "it stands still")
    with contextlib.closing(sqlite3.connect(store, timeout=0, isolation_level=None)) as link:
        try:
            link.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            return False
    return True
