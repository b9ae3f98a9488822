"""Making a plan: capture, draft, and the exact text of every step. Nothing is changed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stackmend.engine import clock, parameters
from stackmend.engine.ownership import whoami
from stackmend.engine.plan import Plan
from stackmend.engine.procedures import Doors, Procedure, planned
from stackmend.errors import BadInput


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
    capture = captured if captured is not None else procedure.capture(doors, values)
    draft = procedure.draft(capture, values)
    lanes = [replace(lane, steps=[planned(step) for step in procedure.lane_steps(lane)]) for lane in draft.lanes]
    _check_names(lanes)
    return Plan(
        procedure=procedure.name,
        version=procedure.version,
        cloud=cloud,
        made_at=clock.now(),
        made_by=whoami(),
        parameters=values,
        capture={key: value for key, value in capture.items() if key != "servers"},
        stages=list(procedure.stages),
        lanes=lanes,
        verdicts=draft.verdicts,
        notes=draft.notes,
        estimate_seconds=draft.estimate_seconds,
    ).frozen()


def _check_names(lanes: list[Any]) -> None:
    keys = [lane.key for lane in lanes]
    if len(set(keys)) != len(keys):
        raise BadInput("the procedure planned two lanes of one name: this is a defect of the procedure")
