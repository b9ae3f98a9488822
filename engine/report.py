"""What happened, as data: the status of a run, and its report. They need no cloud."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stackmend.engine import clock, status
from stackmend.engine.status import LaneStatus
from stackmend.engine.store import Run, Store


def state_of(run: Run, lanes: list[LaneStatus]) -> str:
    """The run's state in one word, derived from its lanes."""
    if run.outcome is not None:
        return run.outcome
    if run.owner is not None:
        return status.RUNNING
    if not run.approved:
        return status.WAITING_APPROVAL
    if status.held_at(run.plan, lanes, run.approvals):
        return status.WAITING_OPERATOR
    begun = run.started_at is not None and any(lane.state != status.PENDING for lane in lanes)
    return status.INTERRUPTED if begun or run.started_at else status.PENDING


def next_command(run_id: str, state: str, counts: Mapping[str, int]) -> str | None:
    """What to type next."""
    if state == status.DONE_WITH_EXCEPTIONS and status.FAILED not in counts:
        return f"stackmend report {run_id}"
    return {
        status.WAITING_APPROVAL: f"stackmend approve {run_id}",
        status.WAITING_OPERATOR: f"stackmend approve {run_id}",
        status.PENDING: f"stackmend resume {run_id}",
        status.INTERRUPTED: f"stackmend resume {run_id}",
        status.RUNNING: f"stackmend watch {run_id}",
        status.DONE_WITH_EXCEPTIONS: f"stackmend retry {run_id}",
        status.NEEDS_HANDS: f"stackmend retry {run_id}",
        status.DONE: f"stackmend report {run_id}",
    }.get(state)


def status_of(store: Store, run_id: str) -> dict[str, Any]:
    """A run's status: its state, how many lanes are where, and each lane's step."""
    run = store.run(run_id)
    lanes = store.lanes(run)
    return {**_status(run, lanes), "lanes": [_lane(lane) for lane in lanes]}


def _status(run: Run, lanes: list[LaneStatus]) -> dict[str, Any]:
    state, counts = state_of(run, lanes), status.counts(lanes)
    return {
        "run": run.id,
        "key": run.key,
        "procedure": run.plan.procedure,
        "state": state,
        "owner": str(run.owner) if run.owner else None,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "waits_for": stage.hold if (stage := status.held_at(run.plan, lanes, run.approvals)) else None,
        "counts": counts,
        "completed_steps": [step.name for lane in lanes for step in lane.steps if step.state == status.DONE],
        "next": next_command(run.id, state, counts),
    }


def report(store: Store, run_id: str) -> dict[str, Any]:
    """Everything about a run: what was planned, done and proved, when, by whom; and what is left to do."""
    run = store.run(run_id)
    lanes = store.lanes(run)
    planned = {lane.key: lane for lane in run.plan.lanes}
    return {
        **_status(run, lanes),
        "version": run.plan.version,
        "cloud": run.plan.cloud,
        "parameters": run.plan.parameters,
        "plan": {"made_at": run.plan.made_at, "made_by": run.plan.made_by, "digest": run.plan.digest},
        "notes": run.plan.notes,
        "verdicts": store.verdicts(run_id),
        "events": [{name: event[name] for name in ("at", "who", "what", "detail")} for event in store.events(run_id)],
        "stages": [asdict(stage) for stage in run.plan.stages],
        "lanes": [_told(lane, planned[lane.key].after, run.started_at) for lane in lanes],
        "exceptions": [{"lane": lane.key, "title": lane.title, "error": lane.error} for lane in lanes if lane.error],
    }


def _lane(lane: LaneStatus) -> dict[str, Any]:
    at = lane.at
    return {
        "lane": lane.key,
        "title": lane.title,
        "stage": lane.stage,
        "state": lane.state,
        "step": at.name if at else None,
        "error": lane.error,
    }


def _told(lane: LaneStatus, after: list[str], started: str | None) -> dict[str, Any]:
    steps = [{**asdict(step), "seconds": _seconds(step.began, step.ended)} for step in lane.steps]
    return {
        **_lane(lane),
        "after": after,
        "began": lane.began,
        "ended": lane.ended,
        "seconds": _seconds(lane.began, lane.ended),
        "recovered_after": _seconds(started, lane.ended),
        "steps": steps,
    }


def _seconds(began: str | None, ended: str | None) -> float | None:
    if began is None or ended is None:
        return None
    return round((clock.parsed(ended) - clock.parsed(began)).total_seconds(), 3)


def summary(data: Mapping[str, Any]) -> str:
    """A run in one sentence."""
    counted = ", ".join(f"{number} {name}" for name, number in sorted(data["counts"].items()))
    return f"run {data['run']} ({data['procedure']}): {data['state']}; lanes: {counted or 'none'}"
