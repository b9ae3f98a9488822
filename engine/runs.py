"""Working on a run: execute what is not done, or revert what is; from any point, in any process.

``build`` is the one factory that TaskFlow stores with every lane. It must never move or be renamed.
"""

from typing import Any

from taskflow.patterns import linear_flow

from stackmend.engine import clock, procedures, status
from stackmend.engine.garbage import fewer_walks
from stackmend.engine.lanes import EXECUTE, RETRY, REVERT, LaneRunner, Work, chain
from stackmend.engine.ownership import held, whoami
from stackmend.engine.plan import Lane
from stackmend.engine.status import LaneStatus
from stackmend.engine.store import Run, Store
from stackmend.engine.working import UNDER_WAY, Owned, Session, Working, check_not_abandoned
from stackmend.errors import BadInput, NotApproved, PastNoReturn

__all__ = ["Session", "abandon", "build", "check_resumable", "execute", "retry", "revert", "skip"]

_TO_REVERT = frozenset([status.REVERTING, status.REVERT_FAILED])


def build(procedure: str, version: str, lane: dict[str, Any]) -> linear_flow.Flow:
    """Rebuild a stored lane's flow. Raises PlanRefused when the procedure is no longer of that version."""
    found = procedures.of_version(procedure, version)
    restored = Lane.from_json(lane)
    return chain(restored.key, found.lane_steps(restored))


@fewer_walks()
def execute(store: Store, run_id: str, session: Session, take_over: bool = False) -> str | None:
    """Execute all that is not done; returns the outcome, None when it was stopped before the end.

    Raises NotApproved, Held (by another process or run), PlanRefused (another cloud or procedure version),
    BadInput (already ended), LeaseLost, StoreError.
    """
    run = store.run(run_id)
    reverting = any(lane.state == status.REVERTING for lane in check_resumable(store, run, take_over))
    return Working(store, run, session, take_over).go(REVERT if reverting else EXECUTE)


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
    return Working(store, run, session, take_over=False).go(REVERT, wanted)


@fewer_walks()
def retry(store: Store, run_id: str, session: Session, lanes: list[str] | None = None) -> str | None:
    """Execute the failed steps again (of the lanes named, or of all), then what follows them.

    Where lanes could not be reverted, that is what is tried again, and nothing else.
    """
    run = store.run(run_id)
    found = [lane for lane in store.lanes(run) if not lanes or {lane.key, lane.title} & set(lanes)]
    if reverting := {lane.key for lane in found if lane.state in _TO_REVERT}:
        return Working(store, run, session, take_over=False).go(REVERT, reverting)
    wanted = {lane.key for lane in found if lane.state == status.FAILED}
    if not wanted:
        raise BadInput(
            f"run {run_id} has no failed step to retry{' there' if lanes else ''}: see `stackmend status {run_id}`"
        )
    return Working(store, run, session, take_over=False).go(RETRY, wanted)


def skip(store: Store, run_id: str, step: str, reason: str) -> None:
    """Count a step that did not succeed as done, under the operator's name. Raises BadInput, Held."""
    run = store.run(run_id)
    check_not_abandoned(run)
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
    with Owned(store, run) as owned:
        store.end(run, status.ABANDONED, [], owned.fence, reason)


def check_resumable(store: Store, run: Run, take_over: bool) -> list[LaneStatus]:
    """Refuse, before the cloud is asked for anything, what can't be resumed; returns the status of its lanes.

    Raises BadInput, NotApproved, Held.
    """
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
    if run.outcome is not None and not any(lane.state in UNDER_WAY for lane in lanes):
        raise BadInput(
            f"run {run.id} has ended {run.outcome}, and nothing of it waits: `stackmend retry {run.id}` executes its "
            "failed steps again"
        )
    return lanes


def _skip(store: Store, run: Run, lane: Lane, step: str, reason: str) -> None:
    work = Work(run.id, run.plan.procedure, run.plan.version)
    with Owned(store, run) as owned:
        note = {"by": whoami(), "at": clock.now(), "reason": reason}
        with LaneRunner(work, lane, owned.backend()) as runner:
            runner.skip(step, note)
        store.note(run.id, "skipped", f"{step}: {reason}")


def _past_no_return(lane: Lane, found: LaneStatus) -> str | None:
    undoable = {step.name: step.undoable or step.reads_only for step in lane.steps}
    return next((step.name for step in found.steps if step.acted and not undoable[step.name]), None)
