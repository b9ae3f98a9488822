"""A worker: it carries out what was ordered, leads runs that nobody leads, and executes lanes of any run.

Any number of workers share one run store. Without a board each run is worked on by the one that leads it; with one,
its lanes go to whichever worker has room. What a worker that dies had in hand goes on elsewhere: its orders and runs
when their leases run out, its lanes when its claims expire.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import sqlalchemy as sa
from taskflow.jobs.base import JobBoard

from stackmend.engine import orders, planning, procedures, runs, tables
from stackmend.engine.board import asking
from stackmend.engine.conductor import LaneConductor
from stackmend.engine.coordinator import Limits
from stackmend.engine.database import reading
from stackmend.engine.orders import Order
from stackmend.engine.sharing import Leader
from stackmend.engine.store import PLAN, Store
from stackmend.engine.working import Session
from stackmend.errors import BadInput, Held, NotApproved, PlanRefused, StackmendError, StoreError, Unreachable

LOG = logging.getLogger(__name__)
# Seconds between two looks for orders and runs; and before a run that could not be led is tried again.
_LOOK, _AGAIN = 1.0, 10.0
# How many runs one worker leads at once, and how many lanes of each may be with the workers.
_RUNS, _LANES_SHARED = 4, 256
_FOR_NOW = float("inf")


Lead = Callable[[str, Session], object]


@dataclass(frozen=True)
class Limit:
    """Seconds that a claim on a lane lasts unless it is renewed; lanes executed at once by this worker."""

    claim: float = 30.0
    lanes: int = 64


class Worker:
    """``session`` opens the cloud, or raises; it is asked until it has. ``board`` None: nothing is shared."""

    def __init__(self, store: Store, session: Callable[[], Session], board: JobBoard | None, limit: Limit) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self._store, self._opened, self._board, self._claim = store, session, board, limit.claim
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._session: Session | None = None
        # Until when (monotonic seconds) each run is left alone, and how many approvals it had when that was decided.
        self._leading: dict[str, tuple[float, int]] = {}
        self._refused: set[str] = set()
        self.conductor = (
            LaneConductor(self.name, store, board, self.session, limit.lanes, limit.claim) if board else None
        )

    def session(self) -> Session:
        """What steps ask for, opened once. Raises StackmendError while the cloud can't be signed in to."""
        with self._lock:
            if self._session is None:
                self._session = self._opened()
            return self._session

    def stop(self) -> None:
        """Begin nothing more; what is under way ends the step it is at."""
        self._stop.set()
        if self._session is not None:
            self._session.drain.set()
        if self.conductor is not None:
            self.conductor.stop()

    def work(self) -> None:
        """Work until ``stop``; returns once nothing is in hand any more."""
        lanes = threading.Thread(target=self.conductor.work, name="stackmend-conductor") if self.conductor else None
        if lanes is not None:
            lanes.start()
        with ThreadPoolExecutor(_RUNS, thread_name_prefix="stackmend-run") as pool:
            while not self._stop.wait(_LOOK):
                self._look_around(pool)
        if lanes is not None:
            lanes.join()

    @property
    def leads(self) -> list[str]:
        """The runs that this worker leads now."""
        return [run for run, (until, _) in list(self._leading.items()) if until == _FOR_NOW]

    def check(self) -> None:
        """Raise BoardAway when the board, where there is one, does not answer."""
        if self._board is not None:
            with asking():
                next(iter(self._board.iterjobs(ensure_fresh=True)), None)

    def _look_around(self, pool: ThreadPoolExecutor) -> None:
        try:
            while (order := orders.take(self._store, self.name)) is not None:
                self._carry_out(order, pool)
            for run_id, approvals in self._unled():
                self._lead(pool, run_id, approvals, lambda run, session: runs.execute(self._store, run, session))
        except StoreError as error:
            LOG.warning("%s", error)

    # Orders.

    def _carry_out(self, order: Order, pool: ThreadPoolExecutor) -> None:
        try:
            if order.verb == orders.RUN:
                self._plan(order)
            else:
                self._lead(pool, str(order.run), -1, lambda run, session: self._more(order, run, session))
        except Unreachable as error:
            # It waits, as the cloud does: its claim runs out, and whoever takes it then tries again.
            LOG.warning("order %s waits: %s", order.key, error)
            orders.wait(self._store, order, str(error))
        except StackmendError as error:
            LOG.warning("order %s is refused: %s", order.key, error)
            orders.settle(self._store, order, orders.REFUSED, why=str(error))
        except Exception as error:
            # It would end one worker after the other.
            LOG.exception("order %s met a defect of stackmend's", order.key)
            orders.settle(self._store, order, orders.REFUSED, why=f"a bug of stackmend, {error!r}")

    def _plan(self, order: Order) -> None:
        session = self.session()
        procedure = procedures.named(str(order.procedure))
        plan = planning.make(procedure, order.parameters, session.doors, dict(session.cloud))
        if not plan.lanes:
            left = plan.left_out()
            # Nobody reads the verdicts of what a machine ordered: that nothing can be done is no good end.
            why = left or "; ".join(plan.notes) or "nothing is to be done"
            orders.settle(self._store, order, orders.REFUSED if left else orders.NOTHING, why=why)
            return
        run_id, _ = self._store.create(plan, order.key)
        if order.approved:
            self._store.approve(run_id, f"ordered as {order.key}", PLAN, order.asked_by)
        orders.settle(self._store, order, orders.CARRIED_OUT, run_id)

    def _more(self, order: Order, run_id: str, session: Session) -> None:
        """Resume, retry or revert a run, because it was ordered."""
        lanes = list(order.parameters.get("lanes") or ()) or None
        try:
            if order.verb == orders.RETRY:
                runs.retry(self._store, run_id, session, lanes)
            elif order.verb == orders.REVERT:
                runs.revert(self._store, run_id, session, lanes)
            else:
                runs.execute(self._store, run_id, session)
        except Held:
            # Somebody is at it; whoever takes the order when its claim has run out sees what came of it.
            return
        except StoreError as error:
            # So does whoever can reach the store and the board.
            LOG.warning("order %s waits: %s", order.key, error)
            return
        except StackmendError as error:
            orders.settle(self._store, order, orders.REFUSED, why=str(error))
            return
        orders.settle(self._store, order, orders.CARRIED_OUT)

    # Runs.

    def _unled(self) -> list[tuple[str, int]]:
        """The runs that were ordered, are approved, have not ended, and that nobody leads; and their approvals."""
        found, approvals, asked = tables.RUNS.c, tables.APPROVALS.c, tables.ORDERS.c
        query = (
            sa.select(found.id, sa.func.count(approvals.stage).label("approvals"))
            .join(tables.ORDERS, sa.and_(asked.run_id == found.id, asked.verb == orders.RUN))
            .join(tables.APPROVALS, approvals.run_id == found.id)
            .where(found.outcome.is_(None), sa.or_(found.owner.is_(None), found.lease_until < time.time()))
            .group_by(found.id, found.created_at)
            .order_by(found.created_at)
        )
        with reading(self._store.engine) as connection:
            return [(row.id, row.approvals) for row in connection.execute(query)]

    def _lead(self, pool: ThreadPoolExecutor, run_id: str, approvals: int, what: Lead) -> None:
        until, seen = self._leading.get(run_id, (0.0, 0))
        if until == _FOR_NOW or (until > time.monotonic() and seen == approvals):
            return
        self._leading[run_id] = (_FOR_NOW, approvals)
        pool.submit(self._led, run_id, approvals, what)

    def _led(self, run_id: str, approvals: int, what: Lead) -> None:
        try:
            self._with_lanes(run_id, what)
        except PlanRefused as error:
            # Somebody must know, if no other worker can; said once, it is tried again and again.
            LOG.log(logging.INFO if run_id in self._refused else logging.WARNING, "run %s is left: %s", run_id, error)
            self._refused.add(run_id)
        except (NotApproved, Held, BadInput) as error:
            LOG.info("run %s is not led: %s", run_id, error)
        except StackmendError as error:
            LOG.warning("run %s: %s", run_id, error)
        except Exception:
            LOG.exception("run %s met a defect of stackmend's", run_id)
        finally:
            self._leading[run_id] = (time.monotonic() + _AGAIN, approvals)

    def _with_lanes(self, run_id: str, what: Lead) -> None:
        """Lead a run whose lanes are executed here, or by whoever takes them from the board."""
        session = self.session()
        if self._board is None:
            what(run_id, session)
            return
        limits = Limits(_LANES_SHARED, session.limits.group)
        # Whoever is cut off from the board leaves the run to those who are not.
        self.check()
        with Leader(self._store, self._store.run(run_id), self._board, self._stop, self._claim) as leader:
            # Whoever executes a lane tells of it.
            what(run_id, replace(session, limits=limits, share=leader.share, stop=self._stop, told=lambda _: None))
