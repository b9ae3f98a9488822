"""What state a run is in, derived from its atoms: TaskFlow's flow states don't tell the truth after a crash."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackmend.engine import taskflow_states as states
from stackmend.engine.plan import Lane, Plan, Stage

# Where a step's record (engine.journal) stands in the metadata of its atom.
META_KEY = "record"
PENDING, RUNNING, DONE, SKIPPED = "pending", "running", "done", "skipped"
FAILED, INTERRUPTED = "failed", "interrupted"
REVERTING, REVERTED, REVERT_FAILED = "reverting", "reverted", "revert-failed"
WAITING_APPROVAL, WAITING_OPERATOR, ABANDONED = "awaiting-approval", "awaiting-operator", "abandoned"
DONE_WITH_EXCEPTIONS, NEEDS_HANDS = "done-with-exceptions", "needs-hands"

_STEP_STATES = {
    None: PENDING,
    states.PENDING: PENDING,
    states.RUNNING: RUNNING,
    states.SUCCESS: DONE,
    states.IGNORE: SKIPPED,
    states.FAILURE: FAILED,
    states.REVERTING: REVERTING,
    states.REVERTED: REVERTED,
    states.REVERT_FAILURE: REVERT_FAILED,
}


@dataclass(frozen=True)
class StepStatus:
    """One step: its state, what it was about to do, and what the cloud said."""

    name: str
    title: str
    state: str
    began: str | None = None
    ended: str | None = None
    request_id: str | None = None
    answered: str | None = None
    attempts: int = 0
    acted: bool = False
    evidence: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class LaneStatus:
    """One lane: the state of its steps taken together."""

    key: str
    title: str
    stage: str
    state: str
    steps: list[StepStatus]

    @property
    def error(self) -> str | None:
        """Why it stopped."""
        return next((step.error for step in self.steps if step.error), None)

    @property
    def at(self) -> StepStatus | None:
        """The step it is at, or stopped at."""
        return next((step for step in self.steps if step.state not in (DONE, SKIPPED)), None)

    @property
    def acted(self) -> bool:
        """Whether anything of it has, or may have, changed the cloud."""
        return any(step.acted for step in self.steps)

    @property
    def began(self) -> str | None:
        """When its first step began."""
        return min((step.began for step in self.steps if step.began), default=None)

    @property
    def ended(self) -> str | None:
        """When its last step ended, once all have."""
        if self.state not in (DONE, SKIPPED):
            return None
        return max((step.ended for step in self.steps if step.ended), default=None)


def lane_status(lane: Lane, atoms: Iterable[Mapping[str, Any]], alive: bool = True) -> LaneStatus:
    """One lane's status from its stored atoms (rows with name, state, intention, meta, results, failure, ...).

    ``alive``: whether an owner works on the run.
    """
    stored = {atom["name"]: atom for atom in atoms}
    steps = [_step(planned.name, planned.title, stored.get(planned.name), alive) for planned in lane.steps]
    undoing = any(atom["intention"] == states.REVERT and atom["state"] != states.REVERTED for atom in stored.values())
    return LaneStatus(lane.key, lane.title, lane.stage, _lane_state(steps, undoing, alive), steps)


def outcome(lanes: Sequence[LaneStatus], gates: frozenset[str]) -> str | None:
    """How a run ended: one of the honest ends, or None while something is still to do.

    ``gates`` are the names of the stages that must hold for the rest to begin.
    """
    found = {lane.state for lane in lanes}
    if REVERT_FAILED in found or any(lane.state == FAILED and lane.stage in gates for lane in lanes):
        return NEEDS_HANDS
    if found & {RUNNING, INTERRUPTED, REVERTING}:
        return None
    if REVERTED in found:
        changed = {lane.state for lane in lanes if lane.acted}
        return REVERTED if changed == {REVERTED} else DONE_WITH_EXCEPTIONS
    if PENDING in found:
        return None
    if found & {FAILED, SKIPPED}:
        return DONE_WITH_EXCEPTIONS
    return DONE


def shut_at(plan: Plan, lanes: Sequence[LaneStatus]) -> Stage | None:
    """The first gate of which a lane has ended, and not well: nothing behind it may begin."""
    ended_badly = {lane.stage for lane in lanes if lane.state in (FAILED, REVERTED, REVERT_FAILED)}
    return next((stage for stage in plan.stages if stage.gate and stage.name in ended_badly), None)


def held_at(plan: Plan, lanes: Sequence[LaneStatus], approved: Collection[str]) -> Stage | None:
    """The stage that an operator must approve now: all before it has ended, and it is held."""
    shut = shut_at(plan, lanes)
    for stage in plan.stages:
        found = [lane for lane in lanes if lane.stage == stage.name]
        if shut is not None and shut.name == stage.name:
            return None
        if found and stage.hold and stage.name not in approved:
            return stage
        if any(lane.state in (PENDING, RUNNING, INTERRUPTED, REVERTING) for lane in found):
            return None
    return None


def counts(lanes: Iterable[LaneStatus]) -> dict[str, int]:
    """How many lanes are in each state."""
    return dict(Counter(lane.state for lane in lanes))


def _lane_state(steps: Sequence[StepStatus], undoing: bool, alive: bool) -> str:
    found = {step.state for step in steps}
    for state in (REVERT_FAILED, REVERTING):
        if state in found:
            return state
    if undoing:
        return REVERTING
    if REVERTED in found:
        return REVERTED
    if FAILED in found:
        return FAILED
    if found <= {DONE, SKIPPED}:
        return SKIPPED if SKIPPED in found else DONE
    if found == {PENDING}:
        return PENDING
    return RUNNING if alive else INTERRUPTED


def _step(name: str, title: str, atom: Mapping[str, Any] | None, alive: bool) -> StepStatus:
    if atom is None:
        return StepStatus(name, title, PENDING)
    state = _STEP_STATES[atom["state"]]
    result = atom["results"] if isinstance(atom["results"], dict) else {}
    if state == DONE and "skipped" in result:
        state = SKIPPED
    if state == RUNNING and not alive:
        state = INTERRUPTED
    record = {**((atom["meta"] or {}).get(META_KEY) or {}), **result}
    undone = atom["revert_results"] if isinstance(atom["revert_results"], dict) else {}
    return StepStatus(
        name,
        title,
        state,
        began=record.get("began"),
        ended=undone.get("ended") or result.get("ended"),
        request_id=record.get("request_id"),
        answered=record.get("answered"),
        attempts=record.get("attempts", record.get("attempt", 0)),
        acted=bool(record.get("acted", record.get("intended"))),
        evidence=undone.get("evidence") or result.get("evidence") or result.get("skipped") or {},
        error=_error(atom["revert_failure"] or atom["failure"]) if state in (FAILED, REVERT_FAILED) else None,
    )


def _error(stored: Any) -> str | None:
    if stored is None:
        return None
    told = stored if isinstance(stored, dict) else stored.to_dict()
    told = told.get("failure", told)
    return str(told.get("exception_str"))
