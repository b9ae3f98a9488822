"""What befalls a child process of tests/mortality.py, at the instant that the environment names; at once, where none.

A disturbance is applied in the child, before the command begins; each command is then an ordinary user's: root
may write what nobody may.
"""

import contextlib
import ctypes
import datetime
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mortality import writers

# The number and name of the instant, and the file in which the process leaves its id.
AT, PID = "STACKMEND_TEST_AT", "STACKMEND_TEST_PID"
HOUR = 3600.0
# Linux's capabilities to disregard what a file's mode says, and the layout of capset(2).
_DISREGARD_MODES = 1 << 1 | 1 << 2
_LAYOUT = 0x20080522
# Whoever has it has the child's only transaction.
_TRANSACTION = threading.RLock()


def halted() -> None:
    """The whole process stands still, as after SIGSTOP, until somebody lets it go on.

    Its other threads are in no transaction then: it holds up nobody, unless the instant itself lies in one.
    """
    _one_transaction_at_a_time()
    _from_the_instant(_halt)
    _as_ordinary_user()


def halted_impatient() -> None:
    """The same, and a writer waits for another process's transaction for half a second only."""
    from stackmend.engine import database

    database.BUSY_TIMEOUT = 0.5
    halted()


def none() -> None:
    """Nothing befalls it."""
    _leave_id()


def clock_back() -> None:
    """The clock is set back by an hour."""
    _from_the_instant(lambda: _shift(-HOUR))


def clock_ahead() -> None:
    """The clock is set ahead by an hour."""
    _from_the_instant(lambda: _shift(HOUR))


def _from_the_instant(befall: Callable[[], None]) -> None:
    _leave_id()
    number, _, name = os.environ.get(AT, "").partition(" ")
    if not number:
        befall()
        return
    fate, count = sys.modules["__main__"].Fate, itertools.count(1)
    known = fate.instant

    def instant(self: Any, lived: str) -> None:
        known(self, lived)
        if lived == name and next(count) == int(number):
            befall()

    fate.instant = instant


def _leave_id() -> None:
    if place := os.environ.get(PID):
        written = Path(f"{place}.new")
        written.write_text(str(os.getpid()), encoding="ascii")
        written.rename(place)


def _halt() -> None:
    with _TRANSACTION:
        # To this thread: it goes no further, not even by an instruction.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def _one_transaction_at_a_time() -> None:
    for module in writers():
        module.writing = _in_turn(module.writing)


def _in_turn(writing: Callable[..., Any]) -> Callable[..., Any]:
    @contextlib.contextmanager
    def in_turn(engine: Any) -> Iterator[Any]:
        with _TRANSACTION, writing(engine) as connection:
            yield connection

    return in_turn


def _as_ordinary_user() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(_LAYOUT, 0), (ctypes.c_uint32 * 6)()
    if library.capget(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    for effective_or_permitted in (0, 1):
        data[effective_or_permitted] &= ~_DISREGARD_MODES
    if library.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _shift(seconds: float) -> None:
    """All of ours that asks for the time of day is told another; the clock that only goes forward goes on."""
    from stackmend.clients import cloud
    from stackmend.engine import clock

    real, delta = time.time, datetime.timedelta(seconds=seconds)

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return datetime.datetime.now(tz) + delta

    time.time = lambda: real() + seconds
    for module in (clock, cloud):
        module.datetime = Shifted  # type: ignore[attr-defined]
