"""A TaskFlow conductor whose jobs are lanes: it claims one, executes it from where it stands, and consumes it.

What a conductor of TaskFlow's does by itself it leaves as it is: it looks at the board, claims what nobody has, and
gives back what it could not end. Ours differs in the claim (it expires, and is kept alive), in what a job is (a lane
of a run in our store, not a logbook), and in that a failed step consumes the job: an operator decides what follows.
"""

import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import sqlalchemy as sa
from taskflow.conductors.backends.impl_executor import ExecutorConductor
from taskflow.exceptions import UnclaimableJob
from taskflow.jobs.base import Job, JobBoard

from stackmend.engine import procedures, sharing
from stackmend.engine.claims import Claim, Claims
from stackmend.engine.coordinator import small_stacks
from stackmend.engine.database import reading
from stackmend.engine.journal import Stopped
from stackmend.engine.status import LaneStatus
from stackmend.engine.store import Store
from stackmend.engine.working import UNDER_WAY, Session, backend_of, carry_out
from stackmend.engine.writer import Fence, Writer
from stackmend.errors import BadInput, StackmendError, StoreError

LOG = logging.getLogger(__name__)
# Seconds between two looks at a board on which nothing waits; and before one that failed claims again.
_IDLE, _UNWELL = 0.2, 2.0
# TaskFlow's own words about jobs come with tracebacks: what an operator should know of a lane is in the run store.
_QUIET = logging.getLogger("stackmend.conductor.taskflow")
_QUIET.setLevel(logging.CRITICAL)


class LaneConductor(ExecutorConductor):
    """Executes lanes, at most ``at_once`` of them, claimed for ``seconds`` at a time.

    ``session`` opens what steps ask for, when the first lane needs it; ``cloud``: whose runs are taken.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        board: JobBoard,
        session: Callable[[], Session],
        at_once: int,
        seconds: float,
    ) -> None:
        super().__init__(name, board, wait_timeout=_IDLE, max_simultaneous_jobs=at_once, log=_QUIET)
        self._store, self._session, self._at_once = store, session, at_once
        self._claims = Claims(board, name, seconds)
        self._run_of = functools.lru_cache(maxsize=8)(store.run)
        self._unwell_until, self._doubts_store = 0.0, False
        self.in_hand: dict[str, str] = {}
        board.claim = self._claim
        board.iterjobs = self._in_order(board.iterjobs)

    def work(self) -> None:
        """Claim and execute until ``stop``; a board that fails is looked at again. Returns when all lanes are left."""
        with small_stacks():
            while not self._wait_timeout.is_stopped():
                try:
                    self.run()
                except Exception as error:  # noqa: BLE001 - of whatever kind the board is, its client's errors
                    LOG.warning("the board does not answer (%s): %s", type(error).__name__, error)
                    self._wait_timeout.wait()
        self._claims.close()

    def _executor_factory(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._at_once, thread_name_prefix="stackmend-lane")

    def _can_claim_more_jobs(self, job: Job) -> bool:
        well = time.monotonic() >= self._unwell_until and (not self._doubts_store or self._store_answers())
        return well and bool(super()._can_claim_more_jobs(job))

    def _store_answers(self) -> bool:
        """Whether the run store is back: what is claimed without it is kept from those who have it."""
        try:
            with reading(self._store.engine) as connection:
                connection.execute(sa.select(1))
        except StoreError as error:
            self._rest(error)
            return False
        self._doubts_store = False
        return True

    def _claim(self, job: Job, who: str) -> None:
        if not self._fits(job.details):
            raise UnclaimableJob(f"{job.name} is for a worker of another cloud, or another release")
        self._claims.claim(job, who)

    def _in_order(self, jobs: Callable[..., Iterable[Job]]) -> Callable[..., Iterator[Job]]:
        """The board's jobs as they were posted: Redis's board gives the last one first."""

        def iterjobs(**given: bool) -> Iterator[Job]:
            return iter(sorted(jobs(**given), key=lambda job: int(job.sequence)))

        return iterjobs

    def _fits(self, told: dict[str, str]) -> bool:
        """Whether the job is a lane of this cloud's, of a procedure as it is installed here."""
        try:
            procedures.of_version(told["procedure"], told["version"])
            return told["cloud"] == self._session().cloud.get("auth_url")
        except (KeyError, BadInput):
            return False
        except StackmendError as error:
            self._rest(error)
            return False

    def _dispatch_job(self, job: Job) -> bool:
        """Execute the job's lane; returns whether the job is over. Must raise nothing: TaskFlow would trash the job."""
        try:
            with self._held(job) as claim:
                return self._work_on(job.details["run"], job.details["lane"], claim)
        except Stopped as stopped:
            if stopped.__cause__ is not None:
                LOG.warning("%s", stopped.__cause__)
        except StackmendError as error:
            self._rest(error)
        except Exception:
            LOG.exception("lane %s met a defect of stackmend's", job.name)
            self._unwell_until = time.monotonic() + _UNWELL
        return False

    @contextmanager
    def _held(self, job: Job) -> Iterator[Claim]:
        self.in_hand[job.uuid] = job.name
        try:
            yield self._claims.of(job)
        finally:
            self.in_hand.pop(job.uuid, None)
            self._claims.drop(job)

    def _work_on(self, run_id: str, lane: str, claim: Claim) -> bool:
        session = self._session()
        begun = sharing.begin(self._store, run_id, lane, self._name)
        if begun is None:
            return True
        what, fence = begun
        found = self._carry_out(run_id, lane, what, fence, claim, session)
        if session.drain.is_set() and found.state in UNDER_WAY:
            # It stands behind a step, and goes on elsewhere.
            return False
        sharing.end(self._store, run_id, lane, fence)
        session.told(found)
        return True

    def _carry_out(self, run_id: str, lane: str, what: str, fence: Fence, claim: Claim, session: Session) -> LaneStatus:
        run = self._run_of(run_id)
        writer = Writer(self._store.engine, fence)
        try:
            return carry_out(run, run.plan.lane(lane), what, backend_of(self._store, writer), claim.check, session)
        finally:
            writer.close()

    def _rest(self, error: StackmendError) -> None:
        """Claim nothing for a while: what is wrong here may be right elsewhere."""
        LOG.warning("%s", error)
        self._unwell_until, self._doubts_store = time.monotonic() + _UNWELL, isinstance(error, StoreError)
