"""One writer for all lanes of a process: group commit, fenced by an epoch.

Hundreds of lanes save small rows at once, and each save must be on disk before the lane goes on. One fsync
for each would bind the whole recovery to the disk, so a single thread gathers what is waiting into one
transaction. The same transaction reads an epoch under lock (the run's, or the lane's where workers share a run):
a process that has lost it (paused, partitioned, taken over) commits nothing more.
"""

import queue
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from stackmend.engine import tables
from stackmend.engine.database import saved
from stackmend.errors import LeaseLost, StackmendError, StoreError

# More rows than this in one transaction buys nothing, and holds other processes' reads up.
_MOST_AT_ONCE = 256

# A statement, and the rows that it is executed for.
Rows = tuple[sa.Executable, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Fence:
    """Which epoch lets a Writer write, and what to say of it once it is another one's.

    ``epoch``: ours; ``current``: the statement that reads, under lock, the one that holds, with its ``values``.
    """

    what: str
    epoch: int
    current: sa.Select[Any]
    values: Mapping[str, str]

    @classmethod
    def of_run(cls, run_id: str, epoch: int) -> "Fence":
        """For the one process that works on a run."""
        return cls(f"run {run_id}", epoch, _RUN_EPOCH, {"run": run_id})

    @classmethod
    def of_lane(cls, run_id: str, lane: str, epoch: int) -> "Fence":
        """For one lane of a run that several workers share."""
        return cls(f"lane {lane} of run {run_id}", epoch, _LANE_EPOCH, {"run": run_id, "lane": lane})

    def check(self, connection: sa.Connection) -> None:
        """Raise LeaseLost when somebody else has taken it."""
        if connection.execute(self.current, self.values).scalar() != self.epoch:
            raise LeaseLost(
                f"{self.what} was taken over by another process while this one was away: "
                "this one has stopped and changes nothing more"
            )


@dataclass(frozen=True)
class _Write:
    statements: tuple[Rows, ...]
    done: "Future[None]" = field(default_factory=Future)


class Writer:
    """Writes rows of one run, or of one lane, as long as its ``fence`` lets it.

    Of one statement rows are written in the order they are handed in; statements of one commit in the order
    in which each is first handed in.

    ``write`` returns when the rows are durable; ``write_later`` returns at once, and the rows become durable
    no later than those of the next ``write``. After a failure every later call raises it again: a lane must
    never go on past a row that was not saved.
    """

    def __init__(self, engine: sa.Engine, fence: Fence) -> None:
        self._engine = engine
        self._fence = fence
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._failure: StackmendError | None = None
        self._thread = threading.Thread(target=self._serve, name="stackmend-writer", daemon=True)
        self._thread.start()

    def write(self, *statements: Rows) -> None:
        """Save, and return once it is on disk. Raises LeaseLost, or StoreError when the database failed."""
        self._put(statements).done.result()

    def write_later(self, *statements: Rows) -> None:
        """Save soon; only for rows whose loss in a crash changes nothing."""
        self._put(statements)

    def close(self) -> None:
        """Write what is waiting and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, statements: tuple[Rows, ...]) -> _Write:
        if self._failure is not None:
            raise self._failure
        write = _Write(statements)
        self._queue.put(write)
        return write

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, ending = [first], False
            while len(batch) < _MOST_AT_ONCE and not ending:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    ending = True
                else:
                    batch.append(following)
            self._commit(batch)
            if ending:
                return

    def _commit(self, batch: list[_Write]) -> None:
        try:
            if self._failure is not None:
                raise self._failure
            self._save(_gathered(batch))
        except Exception as error:  # noqa: BLE001 - whatever it was, lanes wait for this thread's word
            self._failure = error if isinstance(error, StackmendError) else _unexpected(error)
            for write in batch:
                write.done.set_exception(self._failure)
        else:
            for write in batch:
                write.done.set_result(None)

    def _save(self, rows: Mapping[sa.Executable, Sequence[Mapping[str, Any]]]) -> None:
        def all_of_them(connection: sa.Connection) -> None:
            self._fence.check(connection)
            for statement, some in rows.items():
                connection.execute(statement, some)

        saved(self._engine, all_of_them)


def _unexpected(error: Exception) -> StoreError:
    return StoreError(
        f"the run store could not be written ({type(error).__name__}): nothing was lost, resume goes on; "
        "if it comes again, that is a bug of stackmend"
    )


def _gathered(batch: list[_Write]) -> dict[sa.Executable, list[Mapping[str, Any]]]:
    rows: dict[sa.Executable, list[Mapping[str, Any]]] = defaultdict(list)
    for write in batch:
        for statement, some in write.statements:
            rows[statement].extend(some)
    return rows


_RUN_EPOCH = sa.select(tables.RUNS.c.epoch).where(tables.RUNS.c.id == sa.bindparam("run")).with_for_update()
_LANE_EPOCH = (
    sa.select(tables.LANE_WORK.c.epoch)
    .where(tables.LANE_WORK.c.run_id == sa.bindparam("run"), tables.LANE_WORK.c.lane == sa.bindparam("lane"))
    .with_for_update()
)
