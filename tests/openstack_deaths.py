"""Those who work on one run of a procedure on a real OpenStack, and die: each at an instant that a seed chooses."""

import json
import random
import shlex
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from matrix.page import SEED, WHOLE
from mortality import KILLED
from openstack_operator import Operator

KILLS, LEAST = (12, 10) if WHOLE else (4, 3)
_KEY = "work"
_MOST_COMMANDS = KILLS + 8
_TYPED = ("approve", "resume", "report")


class Deaths:
    """Of the run that ``start`` begins: somebody types it, and whoever comes next what `status` says.

    ``KILLS`` of them die on the way, which is at least ``instants`` long when nobody does. A failure within the block
    is told with the seed and with the instants at which they died.
    """

    def __init__(self, operator: Operator, instants: int, start: Sequence[str]) -> None:
        self.procedure = start[0]
        self.instants: list[str] = []
        self.lived = 0
        self._operator = operator
        chance = random.Random(f"{SEED} {self.procedure}")
        self._ahead = sorted(chance.sample(range(1, instants + 1), KILLS))
        self._start = ["run", *start, "--yes", "--key", _KEY]
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note("\n".join([self.told, *self.instants, self._said]))

    @property
    def told(self) -> str:
        """What this was, in one line."""
        kills = f"{len(self.instants)} kills in {self.lived} instants"
        return f"{self.procedure}: {kills}; STACKMEND_TEST_SEED={SEED} repeats them"

    def until_it_is(self, state: str) -> None:
        """Somebody types on, until `status` tells this state of the run."""
        for _ in range(_MOST_COMMANDS):
            found, words = self._status()
            if found == state:
                return
            self._types(words)
        raise AssertionError(f"not {state} after {_MOST_COMMANDS} commands, but {self._status()}")

    def types_what_it_says(self) -> None:
        """One command."""
        self._types(self._status()[1])

    def _types(self, words: list[str]) -> None:
        life = self._operator.types(*words, die_at=self._ahead[0] - self.lived if self._ahead else None)
        self.lived += len(life.instants)
        self._said += life.err
        if life.code == KILLED:
            self.instants.append(f"instant {self.lived}, {words[0]}: {life.instants[-1]}")
        self._ahead = [instant for instant in self._ahead if instant > self.lived]

    def _status(self) -> tuple[str, list[str]]:
        """The run's state, and what is to be typed now."""
        found = self._operator.types("status", _KEY, "-f", "json")
        if not found.out:
            assert "there is no run" in found.err, found.err
            return "", self._start
        told = json.loads(found.out)
        _, *words = shlex.split(told["next"])
        assert words[0] in _TYPED, found.out
        return told["state"], words
