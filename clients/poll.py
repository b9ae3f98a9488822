"""One list of the cloud, read for all the lanes that wait for a row of it, however many there are.

A lane waits for rows to show something; it never sees a row that was fetched before it began to wait. While
nobody waits, nothing is asked of the cloud.
"""

import contextvars
import functools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from stackmend.errors import CloudError, NeedsHands, Unreachable
from stackmend.pausing import before_a_look

Row = dict[str, Any]
T = TypeVar("T")
# The rows by id, given the ids that are waited for and, of these, the ones that must be read themselves.
Fetch = Callable[[Collection[str], Collection[str]], Mapping[str, Row]]
# The part of the interval for which newcomers are gathered before they are served.
_GATHER = 0.25
# Seconds between two looks at whether those who wait should stop, or have waited long enough.
_HEED = 1.0
# Seconds after which a look that nothing answers is given up.
_LOOKS_FOR = 120.0
# What a row is before it was shown.
_NEVER: Row = {}


@dataclass(frozen=True, slots=True)
class Awaited:
    """A row of a poll's list, waited for until ``until(row)`` is something else than None.

    ``until`` gets None while the list has no such row; what it raises is raised in whoever waits. ``wrong`` says at
    the deadline what is wrong with the row. ``afresh``: for what can change without the row's time of change moving;
    the row is then read by itself.
    """

    poll: "Poll"
    key: str
    until: Callable[[Row | None], Any]
    wrong: Callable[[Row | None], str] | None = None
    afresh: bool = False


class Waiting:
    """Rows, of one list or of several, that are waited for together, for as many ``seconds``."""

    def __init__(self, rows: Iterable[Awaited], seconds: float) -> None:
        self._rows = [_Waiter(row, self) for row in rows]
        self._seconds = seconds
        self._missing = len(self._rows)
        self._lock = threading.Lock()
        self._ended = False
        self._over: Future[list[Any]] = Future()

    @property
    def of(self) -> list[str]:
        """The names of the polls whose rows are waited for."""
        return list(dict.fromkeys(waiter.row.poll.name for waiter in self._rows))

    def begin(self, check: Callable[[], None]) -> Future[list[Any]]:
        """Begin to wait; what ``until`` found of each row, in their order, is the result.

        ``check`` is called about once a second and may raise, to end the wait. After the seconds it ends with
        NeedsHands.
        """
        # As if it were called in the thread that waits: what it asks may be that thread's own.
        self._check = _in_this_context(check)
        self._deadline = time.monotonic() + self._seconds
        polls = list(dict.fromkeys(waiter.row.poll for waiter in self._rows))
        for poll in polls:
            poll.come([waiter for waiter in self._rows if waiter.row.poll is poll], self if poll is polls[0] else None)
        if not polls:
            self._over.set_result([])
        # It may have ended while it began.
        if self._ended:
            self._go(polls)
        return self._over

    def heed(self) -> None:
        """End the wait if it is to be ended, or has lasted for as long as it may."""
        try:
            self._check()
        except BaseException as error:  # noqa: BLE001 - Stopped is none of the usual ones
            self.fail(error)
            return
        if time.monotonic() >= self._deadline:
            late = next((waiter for waiter in self._rows if waiter.found is None), None)
            if late is not None:
                self.fail(NeedsHands(late.told(self._seconds)))

    def settled(self) -> None:
        """One more of the rows is as it should be."""
        with self._lock:
            self._missing -= 1
            last = self._missing == 0
        if last and self._end():
            self._over.set_result([waiter.found for waiter in self._rows])

    def fail(self, error: BaseException) -> None:
        """End the wait with an error."""
        if self._end():
            self._over.set_exception(error)

    def _end(self) -> bool:
        """Wait no longer; returns whether it has not ended before."""
        with self._lock:
            if self._ended:
                return False
            self._ended = True
        self._go({waiter.row.poll for waiter in self._rows})
        return True

    def _go(self, polls: Iterable["Poll"]) -> None:
        for poll in polls:
            poll.go(self._rows, self)


class _Waiter:
    """A row that is waited for, as it was seen last."""

    __slots__ = ("found", "row", "seen", "waiting")

    def __init__(self, row: Awaited, waiting: Waiting) -> None:
        self.row = row
        self.waiting = waiting
        self.seen: Row | None = _NEVER
        self.found: Any = None

    def show(self, seen: Row | None) -> bool:
        """Show it the row as it is now; whether it waits no longer. A row that it was shown before tells it nothing."""
        # That there still is none may: it can be too long by now.
        if seen is not None and seen is self.seen:
            return False
        self.seen = seen
        try:
            self.found = self.row.until(seen)
        except Exception as error:  # noqa: BLE001 - raised again in the lane that asked
            self.waiting.fail(error)
            return True
        if self.found is None:
            return False
        self.waiting.settled()
        return True

    def told(self, seconds: float) -> str:
        """Why it is still waited for, after so many seconds."""
        what, seen = f"{self.row.poll.name} {self.row.key}", self.seen
        if seen and "unreachable" in seen:
            return f"{what}: no answer for {seconds:.0f} s: {seen['unreachable']}"
        if self.row.wrong is not None and seen is not _NEVER:
            return self.row.wrong(seen)
        return f"{what}: {'not as it should be' if seen else 'not to be seen'} after {seconds:.0f} s"


class Poll:
    """One list of the cloud, fetched every ``interval`` seconds while somebody waits for a row of it.

    ``fetch`` returns at least the rows that are waited for. ``name`` says in messages what the rows are.
    """

    def __init__(self, name: str, fetch: Fetch, interval: float) -> None:
        self.name = name
        self._fetch = fetch
        self._interval = interval
        # In the order in which they came, of whom there are hundreds.
        self._waiters: dict[_Waiter, None] = {}
        self._heeded: dict[Waiting, None] = {}
        self._came = 0
        self._changed = threading.Condition()
        self._serves = False

    def wait(
        self,
        key: str,
        until: Callable[[Row | None], T | None],
        seconds: float,
        check: Callable[[], None],
        afresh: bool = False,
    ) -> T:
        """Wait for one row, see Awaited and Waiting; returns what ``until`` found. Raises NeedsHands."""
        found: T = Waiting([Awaited(self, key, until, afresh=afresh)], seconds).begin(check).result()[0]
        return found

    def look(self, key: str, afresh: bool = False) -> Row | None:
        """The row as it is now, None when there is none; lanes that look at the same time share one call."""
        return look_together((self, key), afresh=afresh)[0]

    def come(self, waiters: Iterable[_Waiter], heeded: Waiting | None) -> None:
        """Show these their rows from now on; ``heeded``: what may have to end before they are as they should be."""
        with self._changed:
            self._waiters.update(dict.fromkeys(waiters))
            if heeded is not None:
                self._heeded[heeded] = None
            self._came += 1
            if not self._serves:
                self._serves = True
                for work in (self._serve, self._heed):
                    threading.Thread(target=work, name=f"stackmend-poll-{self.name}", daemon=True).start()
            self._changed.notify_all()

    def go(self, waiters: Iterable[_Waiter], heeded: Waiting) -> None:
        """Nobody waits for these any more."""
        with self._changed:
            for waiter in waiters:
                self._waiters.pop(waiter, None)
            self._heeded.pop(heeded, None)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiters)
                serving, came = list(self._waiters), self._came
            began = time.monotonic()
            self._serve_once(serving)
            took = time.monotonic() - began
            with self._changed:
                self._changed.wait_for(functools.partial(self._newcomers, came), self._interval - took)
            # A lane that has just come need not wait for the tick, but hundreds of them share one call; and a cloud
            # that takes long to answer is left alone for as long, or for an interval.
            left = max(self._interval * _GATHER, 2 * took) - (time.monotonic() - began)
            time.sleep(min(self._interval, max(0.0, left)))

    def _heed(self) -> None:
        # One thread for all: hundreds that woke up each second only to look would keep a core busy.
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._heeded)
                heeded = list(self._heeded)
            for waiting in heeded:
                waiting.heed()
            time.sleep(_HEED)

    def _newcomers(self, came: int) -> bool:
        return self._came > came

    def _serve_once(self, waiters: list[_Waiter]) -> None:
        try:
            afresh = {waiter.row.key for waiter in waiters if waiter.row.afresh}
            rows = self._fetch({waiter.row.key for waiter in waiters}, afresh)
        except Unreachable as error:
            # Waited for, as any state that is not there yet: each waiter has its deadline.
            for waiter in waiters:
                waiter.seen = {"unreachable": str(error)}
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, it belongs to those who wait
            failure = error if isinstance(error, CloudError) else CloudError(f"{self.name}: {error}")
            for waiter in waiters:
                waiter.waiting.fail(failure)
            return
        over = [waiter for waiter in waiters if waiter.show(rows.get(waiter.row.key))]
        with self._changed:
            for waiter in over:
                self._waiters.pop(waiter, None)


def _in_this_context(check: Callable[[], None]) -> Callable[[], None]:
    context = contextvars.copy_context()

    def checked() -> None:
        context.run(check)

    return checked


def look_together(*rows: tuple[Poll, str], afresh: bool = False) -> list[Row | None]:
    """Rows of several lists as they are now, each by its list and key; None where there is none."""
    awaited = [Awaited(poll, key, lambda row: (row,), afresh=afresh) for poll, key in rows]
    found = Waiting(awaited, _LOOKS_FOR).begin(functools.partial(before_a_look, 0)).result()
    return [row for (row,) in found]
