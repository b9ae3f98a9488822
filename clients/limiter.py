"""How many calls a service gets at once: as many as it bears, which it shows itself.

A cloud that is just coming back can't bear what it bore yesterday. So the number begins small and grows with every call
that is answered; it is halved when the service says that it is busy or answers nothing, and falls when its answers take
much longer than they did; then it grows again, slowly.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Calls at once when nothing is known of a service yet, and those that it always gets because it was only slow.
_FIRST, _SLOW_BUT_ALIVE = 8.0, 4.0
# Answers that take so many times longer than the quickest of their kind are a sign of a queue.
_SLOW = 4.0
# Of the newest answer, in the average of how slow they are; and how fast the quickest is forgotten.
_NEWEST, _FORGOTTEN = 0.1, 1.002
# A quicker answer than this (seconds) is no measure for others.
_QUICK = 0.05


@dataclass
class Turn:
    """One call under way since ``began``. ``refused``: the service said that it is busy, or said nothing."""

    began: float
    refused: bool = False


class Limiter:
    """The calls of one service; many threads share it. ``most``: never more at once than this."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most = float(most)
        self._limit = min(_FIRST, self._most)
        # Below it the number grows with each answer; above it, by one for as many answers as are under way at once.
        self._careful_from = self._most
        self._under_way = 0
        self._changed = threading.Condition()
        self._fell = self._full = -math.inf
        self._quickest: dict[str, float] = {}
        self._slowness = 1.0

    @property
    def limit(self) -> int:
        """How many calls it allows at once, as it stands."""
        return max(1, int(self._limit))

    @contextlib.contextmanager
    def turn(self, kind: str) -> Iterator[Turn]:
        """Wait until a call may be made, and make it in the block; calls of one ``kind`` take about as long."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < self.limit)
            self._under_way += 1
            turn = Turn(self._clock())
            if self._under_way >= self.limit:
                self._full = turn.began
        try:
            yield turn
        finally:
            with self._changed:
                self._under_way -= 1
                self._learn(turn, kind, self._clock() - turn.began)
                self._changed.notify(max(0, self.limit - self._under_way))

    def _learn(self, turn: Turn, kind: str, seconds: float) -> None:
        if turn.refused:
            self._fall(turn, self._limit / 2, 1.0)
            return
        quickest = min(seconds, self._quickest.get(kind, seconds) * _FORGOTTEN)
        self._quickest[kind] = quickest
        slowness = seconds / max(quickest, _QUICK)
        self._slowness += _NEWEST * (slowness - self._slowness)
        if self._slowness > _SLOW:
            self._fall(turn, 0.8 * self._limit, min(_SLOW_BUT_ALIVE, self._limit))
        elif turn.began <= self._full:
            # There were as many as are allowed meanwhile: with fewer nothing is learned of how many it bears.
            step = 1.0 if self._limit < self._careful_from else 1.0 / self._limit
            self._limit = min(self._most, self._limit + step)

    def _fall(self, turn: Turn, to: float, least: float) -> None:
        """Once for all the calls that were under way together: each of them tells the same."""
        if turn.began >= self._fell:
            self._limit = self._careful_from = max(least, to)
            self._fell = self._clock()
            self._slowness = 1.0
