"""Every alarm that came, and what became of it: rows of the run store."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from stackmend.alarms.alarm import Alarm
from stackmend.engine import clock
from stackmend.engine.database import Unsaved, reading, saved, writing
from stackmend.engine.ownership import whoami
from stackmend.engine.store import Store
from stackmend.engine.tables import ALARMS, TURNS
from stackmend.errors import BadInput, StoreError, UnknownRun

# What can become of an alarm: not decided yet; it waits (its rule says so), or is held by the brake until somebody
# releases it; it is being started, was started. And why nothing was started: there is no rule for it, it is the same
# incident as another, it came in the quiet time, it was over before, it can't be done, it only tells that all is well.
UNDECIDED, WAITING, HELD, STARTING, STARTED = "undecided", "waiting", "held", "starting", "started"
NO_RULE, SAME, QUIET, RESOLVED, REFUSED, NOTED = "no-rule", "same", "quiet", "resolved", "refused", "noted"
OPEN = (UNDECIDED, WAITING, HELD, STARTING)
_TURN = "alarms"
T = TypeVar("T")
_PATIENCE = 2.0
_TRY_AGAIN = 0.05


_TAKEN = sa.update(TURNS).where(TURNS.c.name == _TURN).values(taken=TURNS.c.taken + 1)


class Ledger:
    """The alarms of one run store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        # Threads of one process wait here for each other; SQLite would let them look again and again.
        self._lock = threading.Lock()

    def keep(self, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """Store new alarms (from ``row``), durably; returns the uuids of those that were there before.

        Raises StoreError: nothing was stored.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with self._lock, writing(self.store.engine) as connection:
                    return _insert(connection, rows)
            except StoreError as error:
                # Another listener may have stored one of them between our look and our insert.
                passing = isinstance(error, Unsaved) or isinstance(error.__cause__, sa.exc.IntegrityError)
                if not passing or time.monotonic() > deadline:
                    raise
            time.sleep(_TRY_AGAIN)

    def open_turns(self) -> None:
        """Let there be turns to take; whoever does so at the same time has done it for us."""
        try:
            self.turn(lambda _: None)
        except StoreError as error:
            if not isinstance(error.__cause__, sa.exc.IntegrityError):
                raise

    def turn(self, action: Callable[[sa.Connection], T]) -> T:
        """What ``action`` comes to in a transaction in which nobody else decides, on no listener of this store."""

        def alone(connection: sa.Connection) -> T:
            if connection.execute(_TAKEN).rowcount == 0:
                connection.execute(sa.insert(TURNS), [{"name": _TURN, "taken": 1}])
            return action(connection)

        return self._saved(alone)

    def settle(self, number: int, **values: Any) -> None:
        """Keep what became of an alarm that was being started."""
        change = sa.update(ALARMS).where(ALARMS.c.id == number).values(**values)
        self._saved(lambda connection: connection.execute(change))

    def starting(self, now: float) -> list[Any]:
        """The alarms that are to be started now, oldest first."""
        due = sa.func.coalesce(ALARMS.c.due, 0.0) <= now
        query = sa.select(ALARMS).where(ALARMS.c.verdict == STARTING, due).order_by(ALARMS.c.id)
        with reading(self.store.engine) as connection:
            return list(connection.execute(query))

    def alarms(self, verdict: str | None = None, most: int = 100) -> list[Any]:
        """The latest alarms (of that verdict), newest first."""
        query = sa.select(ALARMS).order_by(ALARMS.c.id.desc()).limit(most)
        with reading(self.store.engine) as connection:
            return list(connection.execute(query if verdict is None else query.where(ALARMS.c.verdict == verdict)))

    def find(self, named: str) -> Any:
        """The alarm of that number or uuid. Raises UnknownRun."""
        query = sa.select(ALARMS).where((ALARMS.c.id == int(named)) if named.isdecimal() else (ALARMS.c.uuid == named))
        with reading(self.store.engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            raise UnknownRun(f"there is no alarm {named} in {self.store.shown}: `stackmend alarm list` shows them")
        return row

    def release(self, named: str) -> Any:
        """Let an alarm that the brake holds go on. Raises UnknownRun, or BadInput when it is not held."""
        row = self.find(named)
        values = {"verdict": STARTING, "why": f"released by {whoami()} at {clock.now()}", "due": 0.0}
        held = sa.update(ALARMS).where(ALARMS.c.id == row.id, ALARMS.c.verdict == HELD).values(**values)
        if self._saved(lambda connection: connection.execute(held).rowcount) == 0:
            raise BadInput(f"alarm {row.id} is not held by the brake: it is {row.verdict}")
        return self.find(named)

    def counts(self) -> dict[str, int]:
        """How many alarms are in each of the verdicts that are no end."""
        query = (
            sa.select(ALARMS.c.verdict, sa.func.count()).where(ALARMS.c.verdict.in_(OPEN)).group_by(ALARMS.c.verdict)
        )
        with reading(self.store.engine) as connection:
            found = {row.verdict: int(row[1]) for row in connection.execute(query)}
        return dict.fromkeys(OPEN, 0) | found

    def sweep(self, days: float) -> int:
        """Remove the alarms that are older, unless something is still to come of them; returns how many."""
        until = clock.stored(datetime.now(UTC) - timedelta(days=days))
        old = sa.delete(ALARMS).where(ALARMS.c.received_at < until, ALARMS.c.verdict.not_in(OPEN))
        return self._saved(lambda connection: int(connection.execute(old).rowcount))

    def _saved(self, action: Callable[[sa.Connection], T]) -> T:
        with self._lock:
            return saved(self.store.engine, action)


def row(alarm: Alarm, uuid: str, now: str) -> dict[str, Any]:
    """An alarm that came at ``now`` as a row, not yet decided."""
    return {
        "uuid": uuid,
        "received_at": now,
        "source": alarm.source,
        "event": alarm.id,
        "name": alarm.name,
        "state": alarm.state,
        "host": alarm.host,
        "severity": alarm.severity,
        "labels": json.dumps(dict(alarm.labels)),
        "began_at": alarm.at,
        "verdict": UNDECIDED,
    }


def alarm_of(row: Any) -> Alarm:
    """The alarm in a row."""
    told = (row.host, row.severity, json.loads(row.labels), row.began_at)
    return Alarm(row.source, row.event, row.name, row.state, *told)


def _insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    wanted = {row["uuid"]: row for row in rows}
    there = sa.select(ALARMS.c.uuid).where(ALARMS.c.uuid.in_(list(wanted)))
    known = set(connection.execute(there).scalars())
    if fresh := [row for uuid, row in wanted.items() if uuid not in known]:
        connection.execute(sa.insert(ALARMS), fresh)
    return known
