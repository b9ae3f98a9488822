"""One list of the cloud, read for all the lanes that wait for a row of it, however many there are.

A lane waits for a row to show something; it never sees a row that was fetched before it began to wait. While
nobody waits, nothing is asked of the cloud.
"""

import contextvars
import functools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from stackmend.errors import CloudError, NeedsHands, Unreachable
from stackmend.pausing import before_a_look

Row = dict[str, Any]
T = TypeVar("T")
# The rows by id, given the ids that are waited for and, of these, the ones that must be read themselves.
Fetch = Callable[[Collection[str], Collection[str]], Mapping[str, Row]]
# The part of the interval for which newcomers are gathered before they are served.
_GATHER = 0.25
# Seconds between two looks at whether those who wait should stop.
_HEED = 1.0


class _Waiter:
    def __init__(self, key: str, until: Callable[[Row | None], Any], afresh: bool, check: Callable[[], None]) -> None:
        self.key = key
        self.until = until
        self.afresh = afresh
        # As if it were called in the thread that waits: what it asks may be that thread's own.
        self.check = _in_this_context(check)
        self.settled = threading.Event()
        self.found: Any = None
        self.row: Row | None = None
        self.error: BaseException | None = None

    def stopped(self) -> bool:
        """Whether it is to wait no longer: what says so is raised in the lane that asked."""
        try:
            self.check()
        except BaseException as error:  # noqa: BLE001 - Stopped is none of the usual ones
            self.error = error
        return self.error is not None

    def show(self, row: Row | None) -> bool:
        """Show it the row as it is now; whether it waits no longer. A row that it was shown before tells it nothing."""
        # That there still is none may: it can be too long by now.
        if row is not None and row is self.row:
            return False
        self.row = row
        try:
            self.found = self.until(row)
        except Exception as error:  # noqa: BLE001 - raised again in the lane that asked
            self.error = error
        return self.found is not None or self.error is not None


class Poll:
    """One list of the cloud, fetched every ``interval`` seconds while somebody waits for a row of it.

    ``fetch`` returns at least the rows that are waited for. ``name`` says in messages what the rows are.
    """

    def __init__(self, name: str, fetch: Fetch, interval: float) -> None:
        self._name = name
        self._fetch = fetch
        self._interval = interval
        # In the order in which they came, of whom there are hundreds.
        self._waiting: dict[_Waiter, None] = {}
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
        """Wait until ``until(row)`` is something else than None, and return it; ``wait_all`` for one row."""
        return self.wait_all({key: until}, seconds, check, afresh)[key]

    def wait_all(
        self,
        untils: Mapping[str, Callable[[Row | None], T | None]],
        seconds: float,
        check: Callable[[], None],
        afresh: bool = False,
    ) -> dict[str, T]:
        """Wait until each row's ``until(row)`` is something else than None, and return that, by the row's key.

        ``until`` gets None while the list has no such row; what it raises is raised here. ``check`` is called
        about once a second and may raise, to end the wait. ``afresh``: for what can change without the row's
        time of change moving; the row is then read by itself. Raises NeedsHands after ``seconds``.
        """
        if not untils:
            return {}
        deadline = time.monotonic() + seconds
        waiters = [_Waiter(key, until, afresh, check) for key, until in untils.items()]
        self._register(waiters)
        try:
            for waiter in waiters:
                if not waiter.settled.wait(max(0.0, deadline - time.monotonic())):
                    check()
                    raise NeedsHands(self._late(waiter, seconds))
                if waiter.error is not None:
                    raise waiter.error
        finally:
            with self._changed:
                for waiter in waiters:
                    self._waiting.pop(waiter, None)
        return {waiter.key: waiter.found for waiter in waiters}

    def look(self, key: str, afresh: bool = False, seconds: float = 120.0) -> Row | None:
        """The row as it is now, None when there is none; lanes that look at the same time share one call."""
        return self.wait(key, lambda row: (row,), seconds, functools.partial(before_a_look, 0), afresh)[0]

    def _register(self, waiters: Iterable[_Waiter]) -> None:
        with self._changed:
            self._waiting.update(dict.fromkeys(waiters))
            self._came += 1
            if not self._serves:
                self._serves = True
                for work in (self._serve, self._heed):
                    threading.Thread(target=work, name=f"stackmend-poll-{self._name}", daemon=True).start()
            self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                serving, came = list(self._waiting), self._came
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
                self._changed.wait_for(lambda: self._waiting)
                waiting = list(self._waiting)
            self._settle([waiter for waiter in waiting if waiter.stopped()])
            time.sleep(_HEED)

    def _newcomers(self, came: int) -> bool:
        return self._came > came

    def _serve_once(self, waiters: list[_Waiter]) -> None:
        try:
            afresh = {waiter.key for waiter in waiters if waiter.afresh}
            rows = self._fetch({waiter.key for waiter in waiters}, afresh)
        except Unreachable as error:
            # Waited for, as any state that is not there yet: each waiter has its deadline.
            for waiter in waiters:
                waiter.row = {"unreachable": str(error)}
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, it belongs to those who wait
            for waiter in waiters:
                waiter.error = error if isinstance(error, CloudError) else CloudError(f"{self._name}: {error}")
            self._settle(waiters)
            return
        self._settle([waiter for waiter in waiters if waiter.show(rows.get(waiter.key))])

    def _settle(self, waiters: list[_Waiter]) -> None:
        with self._changed:
            for waiter in waiters:
                self._waiting.pop(waiter, None)
        for waiter in waiters:
            waiter.settled.set()

    def _late(self, waiter: _Waiter, seconds: float) -> str:
        if not waiter.row:
            return f"{self._name} {waiter.key}: not to be seen after {seconds:.0f} s"
        if "unreachable" in waiter.row:
            return f"{self._name} {waiter.key}: no answer for {seconds:.0f} s: {waiter.row['unreachable']}"
        return f"{self._name} {waiter.key}: not as it should be after {seconds:.0f} s"


def _in_this_context(check: Callable[[], None]) -> Callable[[], None]:
    context = contextvars.copy_context()

    def checked() -> None:
        context.run(check)

    return checked
