"""Making a plan: capture, draft, and the exact text of every step. Nothing is changed."""

import contextlib
import graphlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from stackmend.engine import clock, parameters, procedures
from stackmend.engine.garbage import no_walks
from stackmend.engine.ownership import whoami
from stackmend.engine.plan import Lane, Plan, digest_of
from stackmend.engine.procedures import Doors, Procedure, planned
from stackmend.errors import BadInput, CloudError, PlanRefused

LOG = logging.getLogger(__name__)


@no_walks()
def make(
    procedure: Procedure,
    given: Mapping[str, Any],
    doors: Doors,
    cloud: dict[str, str],
    captured: dict[str, Any] | None = None,
) -> Plan:
    """Plan a procedure, from ``captured`` or from a capture made now.

    ``cloud`` says which cloud the plan is for. Raises BadInput for parameters, targets or captures that
    are wrong, CloudError when the cloud doesn't answer.
    """
    values = parameters.parse(procedure.name, procedure.parameters, given)
    with _readable():
        found = captured if captured is not None else procedure.capture(doors, values)
        draft = procedure.draft(found, values)
        lanes = [replace(lane, steps=[planned(step) for step in procedure.lane_steps(lane)]) for lane in draft.lanes]
        _check_names(lanes)
        return Plan(
            procedure=procedure.name,
            version=procedure.version,
            cloud=cloud,
            made_at=clock.now(),
            made_by=whoami(),
            parameters=values,
            capture={key: value for key, value in found.items() if key != "servers"},
            stages=list(procedure.stages),
            lanes=lanes,
            verdicts=draft.verdicts,
            notes=draft.notes,
            estimate_seconds=draft.estimate_seconds,
        ).frozen()


def capture(procedure: Procedure, values: Mapping[str, Any], doors: Doors) -> dict[str, Any]:
    """What the procedure records of the cloud. Raises CloudError also for an answer of a form that no API promises."""
    with _readable():
        found = procedure.capture(doors, values)
        # Text that is no Unicode could not be written to any file.
        digest_of(found)
        return found


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        LOG.debug("an answer that can't be read", exc_info=True)
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CloudError(
            f"the cloud answered something that its APIs do not promise ({what}): nothing was changed; see with -v "
            "which answer it was, and whether a proxy or another release has made it"
        ) from error


def check(plan: Plan, where: str) -> None:
    """Whether a plan read from ``where`` says what would be executed: its stages, its lanes, their steps.

    Raises PlanRefused, also for another version of the procedure, and BadInput for a procedure that there is not.
    """
    procedure = procedures.of_version(plan.procedure, plan.version)
    if plan.frozen() != plan:
        raise PlanRefused(f"{where} leaves out what this stackmend writes into every plan: make a new plan")
    try:
        _check_names(plan.lanes)
        tuple(graphlib.TopologicalSorter({lane.key: lane.after for lane in plan.lanes}).static_order())
        strange = next((lane.key for lane in plan.lanes if not _says(lane, procedure)), None)
    except (BadInput, graphlib.CycleError):
        raise PlanRefused(f"the lanes of {where} have no order, or one name: make a new plan") from None
    if strange is not None or plan.stages != list(procedure.stages):
        what = f"lane {strange}" if strange is not None else "its stages"
        raise PlanRefused(
            f"{where} does not say what would be done: {what} is not what {plan.procedure} makes of it; make a new plan"
        )


def _says(lane: Lane, procedure: Procedure) -> bool:
    """Whether the lane's steps are those that the procedure builds from its facts."""
    try:
        steps = [asdict(planned(step)) for step in procedure.lane_steps(lane)]
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        return False
    told = [asdict(step) for step in lane.steps]
    return bool(json.loads(json.dumps(steps)) == told and lane.stage in {stage.name for stage in procedure.stages})


def _check_names(lanes: list[Lane]) -> None:
    keys = [lane.key for lane in lanes]
    if len(set(keys)) != len(keys):
        raise BadInput("the procedure planned two lanes of one name: this is a defect of the procedure")
