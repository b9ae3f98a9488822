"""A lane that only waits needs no thread: it is parked, and executed again once what its step waits for has come.

A thousand guests boot at the same time, and for each of them a lane waits; a thread and an engine for every one
would be most of a large recovery's memory. What is left of a parked lane is what it waits for: its thread goes on with
another lane, and its engine is forgotten, as it would be at a crash. It is then read from the store as any interrupted
lane is, with the one difference that the answer is there already: the step does not look again, it goes on behind
its wait.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol


class Waits(Protocol):
    """What can be waited for: see clients.poll.Waiting."""

    def begin(self, check: Callable[[], None]) -> "Future[list[Any]]":
        """Begin; the result is what came, or what ended it. ``check`` raises to end it."""


@dataclass(frozen=True)
class Parking:
    """What a lane was parked for: ``step`` waits for ``over``, and was begun at ``began``."""

    step: str
    began: str
    over: "Future[list[Any]]"


class Parked(BaseException):
    """Raised within a step: its lane is to be parked.

    Not an Exception: as when a run is stopped, TaskFlow then leaves the step as it stands.
    """

    def __init__(self, parking: Parking) -> None:
        super().__init__(parking.step)
        self.parking = parking
