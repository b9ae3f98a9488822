"""Sharing a run: its leader decides which lane may begin, and any worker executes it.

The leader holds the run's lease. It notes in the run store what is to be done with a lane, posts a job for it, and
waits until the store says that the lane has ended. Jobs on the board only say what there is to do: the store decides
(engine.tables.LANE_WORK), so that a job that is lost is posted again, and one that comes twice does nothing.
"""

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import sqlalchemy as sa
from taskflow.jobs.base import Job, JobBoard

from stackmend.engine import tables
from stackmend.engine.board import BoardAway, asking
from stackmend.engine.database import reading, saved
from stackmend.engine.journal import Stopped
from stackmend.engine.plan import Lane
from stackmend.engine.status import LaneStatus
from stackmend.engine.store import Run, Store
from stackmend.engine.writer import Fence
from stackmend.errors import StoreError

LOG = logging.getLogger(__name__)
POSTED, BEGUN, ENDED = "posted", "begun", "ended"
# Seconds between two looks at the store for lanes that have ended, and at the board for jobs that are gone.
_LOOK, _LOOK_AT_BOARD = 0.2, 3.0
_WORK = tables.LANE_WORK.c


def details(run: Run, lane: str) -> dict[str, str]:
    """What a job says: enough for a worker to know whether it can do it."""
    plan = run.plan
    told = {"run": run.id, "lane": lane, "procedure": plan.procedure, "version": plan.version}
    return {**told, "cloud": plan.cloud.get("auth_url", "")}


class Leader:
    """The lanes of one run that are with the workers. ``share`` is a Session's (engine.working).

    ``patience``: seconds after which a board that does not answer ends this leader: another one may reach it.
    """

    def __init__(self, store: Store, run: Run, board: JobBoard, stop: threading.Event, patience: float) -> None:
        self._store, self._run, self._board, self._stop, self._patience = store, run, board, stop, patience
        self._waiting: dict[str, Future[None]] = {}
        self._posted: set[str] = set()
        self._looked_at_board = time.monotonic() - _LOOK_AT_BOARD
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stackmend-leader", daemon=True)

    def __enter__(self) -> "Leader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def share(self, run: Run, lane: Lane, what: str, fence: Fence) -> LaneStatus:
        """Have a lane executed, retried or reverted; returns its status once it has ended.

        Raises Stopped, LeaseLost, StoreError, and BoardAway when this worker is cut off from the board.
        """
        note(self._store, run.id, lane.key, what, fence)
        ended: Future[None] = Future()
        with self._lock:
            self._waiting[lane.key] = ended
        ended.result()
        return self._store.lanes(run, [lane])[0]

    def _watch(self) -> None:
        """Post what is not on the board; tell those who wait of lanes that have ended."""
        while not self._over.wait(_LOOK):
            if self._stop.is_set():
                self._answer(list(self._waiting), Stopped())
                continue
            try:
                self._look()
            except StoreError as error:
                # Both may come back; the lease ends this leader when the store does not.
                LOG.warning("the leader of run %s waits: %s", self._run.id, error)
                if isinstance(error, BoardAway) and time.monotonic() - self._looked_at_board >= self._patience:
                    self._answer(list(self._waiting), error)

    def _look(self) -> None:
        if time.monotonic() - self._looked_at_board >= _LOOK_AT_BOARD:
            # The board first, the store after it: what ended in between needs no job.
            with asking():
                self._posted = {job.details["lane"] for job in jobs_of(self._board, self._run.id)}
            self._looked_at_board = time.monotonic()
        states = self._states(list(self._waiting))
        self._answer([lane for lane, state in states.items() if state == ENDED], None)
        for lane, state in states.items():
            if state != ENDED and lane not in self._posted:
                with asking():
                    self._board.post(f"{self._run.id}/{lane}", details=details(self._run, lane))
                self._posted.add(lane)
                LOG.debug("lane %s of run %s is posted", lane, self._run.id)

    def _answer(self, lanes: list[str], error: BaseException | None) -> None:
        for lane in lanes:
            with self._lock:
                waiting = self._waiting.pop(lane, None)
            if waiting is not None:
                waiting.set_exception(error) if error else waiting.set_result(None)

    def _states(self, lanes: list[str]) -> dict[str, str]:
        if not lanes:
            return {}
        query = sa.select(_WORK.lane, _WORK.state).where(_WORK.run_id == self._run.id, _WORK.lane.in_(lanes))
        with reading(self._store.engine) as connection:
            return {row.lane: row.state for row in connection.execute(query)}


def jobs_of(board: JobBoard, run_id: str) -> Iterator[Job]:
    """The jobs of a run that are on the board."""
    return (job for job in board.iterjobs(ensure_fresh=True) if job.details.get("run") == run_id)


def note(store: Store, run_id: str, lane: str, what: str, fence: Fence) -> None:
    """Note what is to be done with a lane, unless just that is under way already. Raises LeaseLost, StoreError."""

    def noted(connection: sa.Connection) -> None:
        fence.check(connection)
        known = _known(connection, run_id, lane)
        if known is None:
            row = {"run_id": run_id, "lane": lane, "what": what, "state": POSTED, "epoch": 0}
            connection.execute(sa.insert(tables.LANE_WORK), [row])
        elif known.state not in (POSTED, BEGUN) or known.what != what:
            _change(connection, run_id, lane, what=what, state=POSTED, epoch=known.epoch + 1)

    saved(store.engine, noted)


def begin(store: Store, run_id: str, lane: str, worker: str) -> tuple[str, Fence] | None:
    """Begin what is to be done with a lane: what that is, and the fence for its writes. None: nothing is."""

    def begun(connection: sa.Connection) -> tuple[str, Fence] | None:
        known = _known(connection, run_id, lane)
        if known is None or known.state not in (POSTED, BEGUN):
            return None
        _change(connection, run_id, lane, state=BEGUN, epoch=known.epoch + 1, worker=worker)
        return known.what, Fence.of_lane(run_id, lane, known.epoch + 1)

    return saved(store.engine, begun)


def end(store: Store, run_id: str, lane: str, fence: Fence) -> None:
    """Note that what was begun with a lane is over. Raises LeaseLost, StoreError."""

    def ended(connection: sa.Connection) -> None:
        fence.check(connection)
        _change(connection, run_id, lane, state=ENDED)

    saved(store.engine, ended)


def _known(connection: sa.Connection, run_id: str, lane: str) -> Any:
    query = sa.select(_WORK.state, _WORK.what, _WORK.epoch).where(_WORK.run_id == run_id, _WORK.lane == lane)
    return connection.execute(query.with_for_update()).first()


def _change(connection: sa.Connection, run_id: str, lane: str, **values: Any) -> None:
    this = (_WORK.run_id == run_id) & (_WORK.lane == lane)
    connection.execute(sa.update(tables.LANE_WORK).where(this).values(values))
