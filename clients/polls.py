"""Shared polls: one list call serves every lane that waits, however many there are.

A lane waits for a row to show something; it never sees a row that was fetched before it began to wait. While
nobody waits, nothing is asked of the cloud.
"""

import functools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.errors import CloudError, NeedsHands, Unreachable
from stackmend.pausing import before_a_look

Row = dict[str, Any]
T = TypeVar("T")
# The rows by id, given the ids that are waited for and, of these, the ones that must be read themselves.
Fetch = Callable[[Collection[str], Collection[str]], Mapping[str, Row]]
# A row's time of change can be this much behind the moment at which it can be read (clocks, transactions).
_OVERLAP = timedelta(seconds=10)
# The part of the interval for which newcomers are gathered before they are served.
_GATHER = 0.25
# Seconds between two looks of a waiting lane at whether it should stop.
_HEED = 1.0
# What no row is: a waiter that was never shown one.
_UNSEEN: Row = {}


class _Waiter:
    def __init__(self, key: str, until: Callable[[Row | None], Any], afresh: bool) -> None:
        self.key = key
        self.until = until
        self.afresh = afresh
        self.settled = threading.Event()
        self.found: Any = None
        self.row: Row | None = _UNSEEN
        self.error: BaseException | None = None

    def show(self, row: Row | None) -> bool:
        """Show it the row as it is now; whether it waits no longer. A row that it was shown before tells it nothing."""
        if row is self.row:
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
        self._thread: threading.Thread | None = None

    def wait(
        self,
        key: str,
        until: Callable[[Row | None], T | None],
        seconds: float,
        check: Callable[[], None],
        afresh: bool = False,
    ) -> T:
        """Wait until ``until(row)`` is something else than None, and return it.

        ``until`` gets None while the list has no such row; what it raises is raised here. ``check`` is called
        about once a second and may raise, to end the wait. ``afresh``: for what can change without the row's
        time of change moving; the row is then read by itself. Raises NeedsHands after ``seconds``.
        """
        waiter = _Waiter(key, until, afresh)
        self._register(waiter)
        deadline = time.monotonic() + seconds
        try:
            while not waiter.settled.wait(min(_HEED, max(0.0, deadline - time.monotonic()))):
                check()
                if time.monotonic() >= deadline:
                    raise NeedsHands(self._late(waiter, seconds))
        finally:
            with self._changed:
                self._waiting.pop(waiter, None)
        if waiter.error is not None:
            raise waiter.error
        return waiter.found  # type: ignore[no-any-return]

    def look(self, key: str, afresh: bool = False, seconds: float = 120.0) -> Row | None:
        """The row as it is now, None when there is none; lanes that look at the same time share one call."""
        return self.wait(key, lambda row: (row,), seconds, functools.partial(before_a_look, 0), afresh)[0]

    def _register(self, waiter: _Waiter) -> None:
        with self._changed:
            self._waiting[waiter] = None
            self._came += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=f"stackmend-poll-{self._name}", daemon=True)
                self._thread.start()
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
            # that takes long to answer is asked less often.
            time.sleep(max(0.0, max(self._interval * _GATHER, 2 * took) - (time.monotonic() - began)))

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


class _Changes:
    """A list that is read whole once, and then only what changed since; and single rows, where that is not enough.

    Nova's "changed" is the server's own row: a volume that comes or goes does not move it. What no step reads of a row
    (``unread``) is not kept: there may be thousands of them.
    """

    def __init__(
        self,
        read: Callable[[datetime | None], Any],
        read_one: Callable[[str], Row | None],
        changed_at: Callable[[Row], str | None],
        unread: Collection[str],
    ) -> None:
        self._read = read
        self._read_one = read_one
        self._changed_at = changed_at
        self._unread = frozenset(unread)
        self._rows: dict[str, Row] = {}
        self._newest: datetime | None = None

    def __call__(self, _keys: Collection[str], afresh: Collection[str]) -> Mapping[str, Row]:
        # The newest time the rows themselves tell, not our clock's, and not the answer's Date: there may be none.
        since = self._newest - _OVERLAP if self._newest else None
        for row in self._read(since):
            self._keep(row)
            moment = reads.openstack_time(self._changed_at(row))
            if moment and (self._newest is None or moment > self._newest):
                self._newest = moment
        for key in afresh:
            found = self._read_one(key)
            if found is None:
                self._rows.pop(key, None)
            else:
                self._keep(found)
        return self._rows

    def _keep(self, row: Row) -> None:
        kept = {name: value for name, value in row.items() if name not in self._unread}
        # The same row again, as a list of what changed lately has it, must not look like news.
        if self._rows.get(row["id"]) != kept:
            self._rows[row["id"]] = kept


# What nova calls a migration that nothing has changed since it was made.
_JUST_MADE = ("accepted", "queued", "pre-migrating")


class _Migrations:
    """Every server's migrations, read whole once and then only what changed since."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._known: dict[str, dict[int, Row]] = {}
        self._newest: datetime | None = None

    def __call__(self, _keys: Collection[str], afresh: Collection[str]) -> Mapping[str, Row]:
        since = self._newest - _OVERLAP if self._newest else None
        newest = self._cloud.max_microversion("compute")
        # One that was only just made has no time of change yet, by which nova would list it: it is read first, so
        # that a change in between is not missed.
        if len(afresh) > len(_JUST_MADE):
            for status in _JUST_MADE:
                self._keep(reads.migrations(self._cloud, status=status))
        else:
            for server in afresh:
                self._keep(reads.migrations(self._cloud, instance_uuid=server))
        self._keep(reads.migrations(self._cloud, changes_since=since if newest >= (2, 59) else None))
        return {
            server: {"id": server, "migrations": [rows[number] for number in sorted(rows)]}
            for server, rows in self._known.items()
        }

    def _keep(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._known.setdefault(row["instance_uuid"], {})[row["id"]] = row
            moment = reads.openstack_time(row.get("updated_at") or row["created_at"])
            if moment and (self._newest is None or moment > self._newest):
                self._newest = moment


class Polls:
    """The shared polls of one cloud.

    ``servers``, ``volumes``, ``ports`` by id; ``computes`` by host; ``migrations`` by server: one row for each
    server, whose ``migrations`` are its own, oldest first.
    """

    def __init__(self, cloud: Cloud, interval: float = 1.0) -> None:
        def volumes(since: datetime | None) -> Any:
            newest = cloud.max_microversion("block-storage")
            return reads.volumes(cloud, updated_since=since if newest >= (3, 60) else None)

        self.servers = Poll(
            "server",
            _Changes(
                lambda since: reads.servers(cloud, changes_since=since),
                functools.partial(reads.server, cloud),
                lambda row: row.get("updated"),
                ("links", "addresses", "flavor", "image", "security_groups"),
            ),
            interval,
        )
        self.volumes = Poll(
            "volume",
            _Changes(
                volumes,
                functools.partial(reads.volume, cloud),
                lambda row: row.get("updated_at") or row.get("created_at"),
                ("links", "volume_image_metadata"),
            ),
            interval,
        )
        self.ports = Poll("port", lambda keys, _: {row["id"]: row for row in reads.ports_of(cloud, keys)}, interval)
        self.migrations = Poll("migration of server", _Migrations(cloud), interval)
        self.computes = Poll(
            "compute host",
            lambda _, __: {row["host"]: row for row in reads.compute_services(cloud, binary="nova-compute")},
            interval,
        )
