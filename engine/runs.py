"""Working on a run: execute what is not done, or revert what is; from any point, in any process.

``build`` is the one factory that TaskFlow stores with every lane. It must never move or be renamed.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskflow.patterns import linear_flow

from stackmend.engine import clock, procedures, status
from stackmend.engine.coordinator import Coordinator, Limits, backwards
from stackmend.engine.garbage import fewer_walks
from stackmend.engine.journal import Journal, Stopped
from stackmend.engine.lanes import LaneRunner, Work, chain, result_of
from stackmend.engine.ownership import LEASE_SECONDS, Lease, held, whoami
from stackmend.engine.persistence import LaneBackend
from stackmend.engine.plan import Lane, Stage
from stackmend.engine.status import LaneStatus
from stackmend.engine.store import Run, Store
from stackmend.engine.writer import Writer
from stackmend.errors import BadInput, NotApproved, PastNoReturn, PlanRefused, StoreError

Told = Callable[[LaneStatus], None]


_UNDER_WAY = frozenset([status.PENDING, status.RUNNING, status.INTERRUPTED, status.REVERTING])
_TO_REVERT = frozenset([status.REVERTING, status.REVERT_FAILED])
_ENDED_WELL = frozenset([status.DONE, status.SKIPPED, status.REVERTED])


def build(procedure: str, version: str, lane: dict[str, Any]) -> linear_flow.Flow:
    """Rebuild a stored lane's flow. Raises PlanRefused when the procedure is no longer of that version."""
    found = procedures.of_version(procedure, version)
    restored = Lane.from_json(lane)
    return chain(restored.key, found.lane_steps(restored))


@dataclass(frozen=True)
class Session:
    """What a process brings to a run: the clients its steps ask for, its limits, and its way to be stopped.

    ``told`` hears of every lane that ended; ``stop``, once set, leaves each step where it stands; ``settle``:
    seconds after which a call whose answer was lost can no longer arrive.
    """

    doors: Mapping[str, Any]
    cloud: Mapping[str, str]
    limits: Limits = field(default_factory=Limits)
    stop: threading.Event = field(default_factory=threading.Event)
    told: Told = lambda _: None
    lease_seconds: float = LEASE_SECONDS
    settle: float = 10.0


@fewer_walks()
def execute(store: Store, run_id: str, session: Session, take_over: bool = False) -> str | None:
    """Execute all that is not done; returns the outcome, None when it was stopped before the end.

    Raises NotApproved, Held (by another process or run), PlanRefused (another cloud or procedure version),
    BadInput (already ended), LeaseLost, StoreError.
    """
    run = store.run(run_id)
    check_resumable(store, run, take_over)
    reverting = any(lane.state == status.REVERTING for lane in store.lanes(run))
    return _Working(store, run, session, take_over).go("revert" if reverting else "execute")


@fewer_walks()
def revert(
    store: Store, run_id: str, session: Session, lanes: list[str] | None = None, where_possible: bool = False
) -> str | None:
    """Undo the run's lanes (all of them, or those named); returns the outcome.

    Raises PastNoReturn, and reverts nothing, when one of them has passed its point of no return, unless
    ``where_possible``: then those are left as they are.
    """
    run = store.run(run_id)
    found = store.lanes(run)
    chosen = [lane for lane in found if not lanes or lane.key in lanes or lane.title in lanes]
    if lanes and len(chosen) < len(lanes):
        raise BadInput(f"run {run_id} has no lane {', '.join(lanes)}: `stackmend show {run_id}` lists them")
    past = {lane.key: step for lane in chosen if (step := _past_no_return(run.plan.lane(lane.key), lane))}
    if past and not where_possible:
        key, step = next(iter(past.items()))
        raise PastNoReturn(
            f"{len(past)} of {len(chosen)} lanes can't be taken back: {key} has passed {step}; "
            f"`stackmend revert {run_id} --where-possible` reverts the others"
        )
    wanted = {lane.key for lane in chosen if lane.key not in past and lane.acted and lane.state != status.REVERTED}
    if not wanted:
        raise BadInput(f"run {run_id} has changed nothing that could be reverted")
    # What had only just begun would go on with the next resume.
    wanted |= {lane.key for lane in chosen if lane.key not in past and lane.state == status.INTERRUPTED}
    return _Working(store, run, session, take_over=False).go("revert", wanted)


@fewer_walks()
def retry(store: Store, run_id: str, session: Session, lanes: list[str] | None = None) -> str | None:
    """Execute the failed steps again (of the lanes named, or of all), then what follows them.

    Where lanes could not be reverted, that is what is tried again, and nothing else.
    """
    run = store.run(run_id)
    found = [lane for lane in store.lanes(run) if not lanes or {lane.key, lane.title} & set(lanes)]
    if reverting := {lane.key for lane in found if lane.state in _TO_REVERT}:
        return _Working(store, run, session, take_over=False).go("revert", reverting)
    wanted = {lane.key for lane in found if lane.state == status.FAILED}
    if not wanted:
        raise BadInput(
            f"run {run_id} has no failed step to retry{' there' if lanes else ''}: see `stackmend status {run_id}`"
        )
    return _Working(store, run, session, take_over=False).go("retry", wanted)


def skip(store: Store, run_id: str, step: str, reason: str) -> None:
    """Count a step that did not succeed as done, under the operator's name. Raises BadInput, Held."""
    run = store.run(run_id)
    _check_not_abandoned(run)
    for lane in store.lanes(run):
        for known in lane.steps:
            if known.name == step:
                if known.state not in (status.FAILED, status.INTERRUPTED, status.REVERT_FAILED):
                    raise BadInput(f"step {step} is {known.state}: only a failed or interrupted step can be skipped")
                _skip(store, run, run.plan.lane(lane.key), step, reason)
                return
    raise BadInput(f"run {run_id} has no step {step}: `stackmend show {run_id}` lists them")


def abandon(store: Store, run_id: str, reason: str) -> None:
    """Give a run up: nothing more of it is executed, its targets are free. Raises Held, BadInput."""
    run = store.run(run_id)
    if run.outcome in (status.DONE, status.REVERTED, status.ABANDONED):
        raise BadInput(f"run {run_id} has ended: {run.outcome}; it holds nothing")
    with _Owned(store, run):
        store.note(run_id, "abandoned", reason)
        store.end(run, status.ABANDONED, [])


def check_resumable(store: Store, run: Run, take_over: bool) -> None:
    """Refuse, before the cloud is asked for anything, what can't be resumed. Raises BadInput, NotApproved, Held."""
    if run.outcome in (status.DONE, status.ABANDONED, status.REVERTED):
        raise BadInput(f"run {run.id} has ended: {run.outcome}; `stackmend report {run.id}` tells what it did")
    if not run.approved:
        raise NotApproved(
            f"run {run.id} waits for approval: `stackmend show {run.id}`, then `stackmend approve {run.id}`"
        )
    if run.owner is not None and not take_over:
        raise held(run.id, run.owner)
    lanes = store.lanes(run)
    if stage := status.held_at(run.plan, lanes, run.approvals):
        raise NotApproved(f"run {run.id} waits for you: {stage.hold}; then `stackmend approve {run.id}`, and resume it")
    if run.outcome is not None and (gate := status.shut_at(run.plan, lanes)):
        raise BadInput(
            f"run {run.id} stopped at its stage {gate.name}, and nothing goes on without that: `stackmend status "
            f"{run.id}` says why; then `stackmend retry {run.id}`, or skip the step that failed"
        )
    if run.outcome is not None and not any(lane.state in _UNDER_WAY for lane in lanes):
        raise BadInput(
            f"run {run.id} has ended {run.outcome}, and nothing of it waits: `stackmend retry {run.id}` executes its "
            "failed steps again"
        )


def _check_not_abandoned(run: Run) -> None:
    if run.outcome == status.ABANDONED:
        raise BadInput(f"run {run.id} was abandoned: what it did stays, and nothing more of it is done; plan anew")


def _skip(store: Store, run: Run, lane: Lane, step: str, reason: str) -> None:
    work = Work(run.id, run.plan.procedure, run.plan.version)
    with _Owned(store, run) as owned:
        note = {"by": whoami(), "at": clock.now(), "reason": reason}
        LaneRunner(work, lane, owned.backend()).skip(step, note)
        store.note(run.id, "skipped", f"{step}: {reason}")


def _past_no_return(lane: Lane, found: LaneStatus) -> str | None:
    undoable = {step.name: step.undoable or step.reads_only for step in lane.steps}
    return next((step.name for step in found.steps if step.acted and not undoable[step.name]), None)


class _Working:
    """One process at work on one run."""

    def __init__(self, store: Store, run: Run, session: Session, take_over: bool) -> None:
        if session.cloud.get("auth_url") != run.plan.cloud.get("auth_url"):
            raise PlanRefused(
                f"run {run.id} was planned for the cloud at {run.plan.cloud.get('auth_url')}, and these credentials "
                f"are for {session.cloud.get('auth_url')}: use the credentials of its own cloud"
            )
        _check_not_abandoned(run)
        procedures.of_version(run.plan.procedure, run.plan.version)
        self._store, self._run, self._session, self._take_over = store, run, session, take_over
        self._work = Work(run.id, run.plan.procedure, run.plan.version)

    def go(self, what: str, only: set[str] | None = None) -> str | None:
        """Do ``what`` (execute, retry, revert) with the lanes that need it; returns the outcome."""
        with _Owned(self._store, self._run, self._take_over, self._session.lease_seconds) as owned:
            reverting = only or () if what == "revert" else ()
            self._store.begin(self._run, "resume" if what == "execute" and self._run.started_at else what, reverting)
            lanes = self._store.lanes(self._run)
            try:
                self._run_lanes(what, owned, lanes, only)
            except Stopped as stopped:
                # Whoever lost the run writes nothing more, not even that it stopped.
                if stopped.__cause__ is not None:
                    raise stopped.__cause__ from None
            return self._end(owned)

    def _run_lanes(self, what: str, owned: "_Owned", lanes: Sequence[LaneStatus], only: set[str] | None) -> None:
        states = {lane.key: lane.state for lane in lanes}

        def work(lane: Lane) -> bool:
            backend = owned.backend()
            runner = LaneRunner(self._work, lane, backend)
            past = functools.partial(result_of, self._run.id, backend=backend)
            session, check = self._session, owned.lease.check
            journal = Journal(runner.storage, self._run.id, check, session.stop, session.settle, past)
            if what == "retry" and states[lane.key] == status.FAILED:
                runner.retry()
            (runner.revert if what == "revert" else runner.execute)(journal, self._session.doors)
            found = status.lane_status(lane, runner.atoms())
            self._session.told(found)
            return found.state in _ENDED_WELL

        wanted = only if only is not None else set()
        if what == "execute":
            wanted = {key for key, state in states.items() if state in _UNDER_WAY}
        elif what == "retry":
            wanted = wanted | {key for key, state in states.items() if state in _UNDER_WAY}
        elif only is None:
            wanted = {key for key, state in states.items() if state == status.REVERTING}
        chosen = [lane for lane in self._run.plan.lanes if lane.key in wanted]
        stages = self._open_stages(wanted, lanes)
        if what == "revert":
            chosen, stages = backwards(chosen), self._run.plan.stages[::-1]
        Coordinator(stages, self._session.limits, self._session.stop).run(chosen, work)

    def _open_stages(self, wanted: set[str], lanes: Sequence[LaneStatus]) -> list[Stage]:
        """The stages up to the first that is held and not approved, or lies behind a gate that does not hold."""
        found: list[Stage] = []
        shut = status.shut_at(self._run.plan, [lane for lane in lanes if lane.key not in wanted])
        for stage in self._run.plan.stages:
            if stage.hold and stage.name not in self._run.approvals:
                break
            found.append(stage)
            # A gate that failed in an earlier session, and is not worked on in this one, stays shut.
            if shut is not None and shut.name == stage.name:
                break
        return found

    def _end(self, owned: "_Owned") -> str | None:
        owned.writer.close()
        lanes = status.lane_statuses(self._run.plan, self._store.atoms(self._run.id), alive=False)
        outcome = status.outcome(lanes, self._run.gates)
        # Of a run that was taken back, the lanes that were never begun are no more to be done.
        over = outcome in (status.DONE, status.REVERTED)
        ended = {lane.key for lane in lanes if over or lane.state in _ENDED_WELL}
        unfinished = [target for lane in self._run.plan.lanes if lane.key not in ended for target in lane.locks]
        self._store.end(self._run, outcome, unfinished)
        return outcome


class _Owned:
    """The lease on a run and the writer that is fenced by it, for as long as the block lasts."""

    def __init__(self, store: Store, run: Run, take_over: bool = False, seconds: float = LEASE_SECONDS) -> None:
        self._store, self._run, self._take_over, self._seconds = store, run, take_over, seconds

    def __enter__(self) -> "_Owned":
        self.lease = Lease.take(self._store.engine, self._run.id, self._take_over, self._seconds)
        self.writer = Writer(self._store.engine, self._run.id, self.lease.epoch)
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(StoreError):
            self.lease.release()

    def backend(self) -> LaneBackend:
        """TaskFlow's persistence for one lane."""
        return LaneBackend({"connection": "stackmend"}, engine=self._store.engine, writer=self.writer)
