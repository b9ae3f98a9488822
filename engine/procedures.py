"""The catalogue: procedures by the name an operator types.

A module in ``flows/`` that holds a ``PROCEDURE`` is one; others' come in through the entry-point group
``stackmend.flows``. A stored run names its procedure, never a class: moving code moves nothing stored.
"""

import difflib
import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackmend import flows
from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Lane, PlannedStep, Stage, Verdict
from stackmend.engine.step import Step
from stackmend.errors import BadInput, PlanRefused


@dataclass(frozen=True)
class Draft:
    """What a procedure plans: lanes without their steps' text, and a verdict for each target."""

    lanes: list[Lane]
    verdicts: list[Verdict]
    notes: list[str]
    estimate_seconds: float = 0.0


Doors = Mapping[str, Any]


@dataclass(frozen=True)
class Procedure:
    """One recovery.

    ``capture(doors, parameters)`` records the truth, ``draft(capture, parameters)`` decides from it alone,
    ``steps(stage, facts)`` builds a lane's steps from its facts alone: a run is resumed from these.
    """

    name: str
    version: str
    summary: str
    guide: str
    parameters: Sequence[Parameter]
    stages: Sequence[Stage]
    capture: Callable[[Doors, Mapping[str, Any]], dict[str, Any]]
    draft: Callable[[dict[str, Any], Mapping[str, Any]], Draft]
    steps: Callable[[str, dict[str, Any]], list[Step]]
    doors: frozenset[str] = frozenset()
    # Whether it can recover to what an earlier capture shows.
    to_capture: bool = False

    def lane_steps(self, lane: Lane) -> list[Step]:
        """The steps of a lane."""
        return self.steps(lane.stage, lane.facts)


def named(name: str) -> Procedure:
    """The procedure of that name. Raises BadInput when there is none."""
    found = catalogue().get(name)
    if found is None:
        near = difflib.get_close_matches(name, catalogue(), n=1)
        hint = f"did you mean {near[0]}?" if near else "`stackmend procedure list` shows them"
        raise BadInput(f"there is no procedure {name}; {hint}")
    return found


def of_version(name: str, version: str) -> Procedure:
    """The procedure, provided that it still is of that version. Raises PlanRefused, BadInput."""
    procedure = named(name)
    if procedure.version != version:
        raise PlanRefused(
            f"this was planned with {name} version {version}, and installed is version {procedure.version}: install "
            f"the stackmend it was planned with, or make a new plan"
        )
    return procedure


@functools.cache
def catalogue() -> dict[str, Procedure]:
    """Every procedure that is installed, by name."""
    found: dict[str, Procedure] = {}
    for module in pkgutil.iter_modules(flows.__path__):
        procedure = getattr(importlib.import_module(f"{flows.__name__}.{module.name}"), "PROCEDURE", None)
        if procedure is not None:
            found[procedure.name] = procedure
    for point in importlib.metadata.entry_points(group="stackmend.flows"):
        found.setdefault(point.name, point.load())
    return found


def planned(step: Step) -> PlannedStep:
    """A step as the plan shows it."""
    return PlannedStep(
        name=step.name,
        title=step.title,
        effects=[{**effect.to_json(), "text": effect.text()} for effect in step.effects()],
        when=step.when,
        why=step.why,
        undoable=step.undoable,
        reads_only=step.reads_only,
    )
