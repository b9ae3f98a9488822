"""Trying again what may be tried again: bounded in time, with growing, jittered pauses."""

from collections.abc import Callable
from typing import TypeVar

import tenacity

from stackmend.errors import StackmendError
from stackmend.pausing import Pause, before_a_look

T = TypeVar("T")


class Passing(Exception):
    """A failure that may be tried again safely; ``error`` is what to raise when patience ends.

    ``after`` is the least number of seconds that the other side asked to wait.
    """

    def __init__(self, error: StackmendError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


def patiently(action: Callable[[], T], seconds: float, pause: Pause = before_a_look) -> T:
    """Run ``action`` until it raises no Passing, for ``seconds`` in all; then raise what Passing carries.

    ``pause`` waits between two tries: ``before_an_effect`` where ``action`` brings one about. What it raises is raised.
    """
    retrying = tenacity.Retrying(
        sleep=pause,
        retry=tenacity.retry_if_exception_type(Passing),
        wait=_pause,
        stop=tenacity.stop_before_delay(seconds),
        reraise=True,
    )
    try:
        return retrying(action)
    except Passing as passing:
        raise passing.error from passing


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, Passing) else None
    return max(asked or 0.0, tenacity.wait_random_exponential(multiplier=0.5, max=10)(state))
