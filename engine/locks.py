"""Target locks: one run at a time for a server, a volume or a host, whoever starts it."""

from collections.abc import Collection, Iterator

import sqlalchemy as sa

from stackmend.engine import clock, tables
from stackmend.errors import Held

_AT_ONCE = 500


def acquire(connection: sa.Connection, run_id: str, targets: Collection[str]) -> None:
    """Lock every target for a run, or none. Raises Held naming the run that has one of them."""
    mine = set()
    for some in _batches(targets):
        query = sa.select(tables.LOCKS).where(tables.LOCKS.c.target.in_(some))
        for lock in connection.execute(query):
            if lock.run_id != run_id:
                raise Held(
                    f"{lock.target} is being recovered by run {lock.run_id} since {lock.since}: "
                    f"see `stackmend status {lock.run_id}`; let it end, or `stackmend abandon {lock.run_id}` it first"
                )
            mine.add(lock.target)
    rows = [{"target": target, "run_id": run_id, "since": clock.now()} for target in sorted(set(targets) - mine)]
    if rows:
        connection.execute(sa.insert(tables.LOCKS), rows)


def release(connection: sa.Connection, run_id: str, targets: Collection[str] | None = None) -> None:
    """Give targets back; all of the run's when none are named."""
    mine = sa.delete(tables.LOCKS).where(tables.LOCKS.c.run_id == run_id)
    if targets is None:
        connection.execute(mine)
        return
    for some in _batches(targets):
        connection.execute(mine.where(tables.LOCKS.c.target.in_(some)))


def held_by(connection: sa.Connection, run_id: str) -> list[str]:
    """The targets that a run holds."""
    return list(connection.execute(sa.select(tables.LOCKS.c.target).where(tables.LOCKS.c.run_id == run_id)).scalars())


def _batches(targets: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(set(targets))
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
