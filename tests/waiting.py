"""Waiting for a condition, never for the clock."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Wait for a condition and return what it gave; fails with ``what`` after the deadline.

    It is asked the more rarely the longer it has been waited for: a cloud of processes on two cores pays for each look.
    """
    began = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(min(0.02 + waited / 20, 0.25))
    return found
