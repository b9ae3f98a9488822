"""The workbooks fit what they call: the catalogue of procedures, the actions' inputs, and each other."""

import importlib.metadata
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackmend.engine.procedures import Procedure, catalogue
from stackmend.errors import BadInput
from stackmend.workbooks import shipped

PROCEDURES = sorted(catalogue().values(), key=lambda found: found.name)
WORKFLOWS = dict(shipped.workflows())
OURS = {point.name: point for point in importlib.metadata.entry_points(group="mistral.actions")}
PAGE = Path(__file__).parents[2] / "doc" / "guide" / "mistral.md"
_COMMON = {"key": None, "approved": False, "poll_seconds": 10}
_REQUIRED = object()


def inputs(workflow: dict[str, Any]) -> dict[str, Any]:
    """A workflow's inputs with their defaults."""
    found: dict[str, Any] = {}
    for item in workflow.get("input", []):
        found.update(item if isinstance(item, dict) else {item: _REQUIRED})
    return found


def tasks() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every task, with the names of its workflow and of its workbook."""
    for name, workflow in WORKFLOWS.items():
        for task in workflow["tasks"].values():
            yield name, name.partition(".")[0], task


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda found: found.name)
def test_each_procedure_is_a_workflow_with_its_parameters(procedure: Procedure) -> None:
    workflow = WORKFLOWS[f"stackmend.{procedure.name}"]
    wanted = {item.name: _REQUIRED if item.positional else None for item in procedure.parameters}
    assert inputs(workflow) == {**wanted, **_COMMON, "key": _REQUIRED}
    (task,) = workflow["tasks"].values()
    assert task["input"]["procedure"] == procedure.name
    # What is left of the input is what the procedure knows.
    assert task["input"]["parameters"] == f"<% execution().input.delete({', '.join(_COMMON)}) %>"


def test_no_workflow_is_for_a_procedure_that_there_is_not() -> None:
    named = {name.partition(".")[2] for name in WORKFLOWS if name.startswith("stackmend.")}
    assert named == {"order", *(procedure.name for procedure in PROCEDURES)}


def test_each_action_of_ours_is_one_and_takes_the_inputs_it_is_given() -> None:
    used = [task for _, _, task in tasks() if task.get("action", "").startswith("stackmend.")]
    assert used
    for task in used:
        taken = inspect.signature(OURS[task["action"]].load()).parameters
        assert set(task["input"]) <= set(taken), task
        needed = {name for name, item in taken.items() if item.default is item.empty}
        assert needed <= set(task["input"]), task


def test_each_workflow_that_is_called_takes_the_inputs_it_is_given() -> None:
    for caller, workbook, task in tasks():
        if "workflow" not in task:
            continue
        name = task["workflow"] if "." in task["workflow"] else f"{workbook}.{task['workflow']}"
        called = inputs(WORKFLOWS[name])
        given = set(task["input"]) if isinstance(task["input"], dict) else passed_on(caller, task["input"])
        assert given <= set(called), (caller, name, given - set(called))
        assert {key for key, default in called.items() if default is _REQUIRED} <= given, (caller, name)


def passed_on(caller: str, expression: str) -> set[str]:
    """What ``<% execution().input.delete(A, B) %>`` leaves of a workflow's inputs."""
    left = expression.removeprefix("<% execution().input.delete(").removesuffix(") %>").split(", ")
    assert set(left) <= set(inputs(WORKFLOWS[caller]))
    return set(inputs(WORKFLOWS[caller])) - set(left)


def test_every_action_of_an_order_may_be_delivered_twice() -> None:
    assert WORKFLOWS["stackmend.order"]["task-defaults"] == {"safe-rerun": True}
    others = [task for name, _, task in tasks() if name != "stackmend.order"]
    assert not [task for task in others if task.get("action", "").startswith("stackmend.")]


def test_the_actions_and_the_composed_workflows_are_those_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(stackmend\.\w+)` \|", page, re.MULTILINE)) == set(OURS)
    composed = {name for name in WORKFLOWS if name.startswith("stackmend-incidents.")}
    assert set(re.findall(r"^\| `(stackmend-incidents\.[\w-]+)` \|", page, re.MULTILINE)) == composed


def test_a_workbook_is_known_by_its_own_name() -> None:
    assert {name: yaml.safe_load(text)["name"] for name, text in shipped.texts().items()} == {
        "stackmend": "stackmend",
        "stackmend-incidents": "stackmend-incidents",
    }
    with pytest.raises(BadInput, match="there is no workbook nope: `stackmend workbook list` shows stackmend, "):
        shipped.text("nope")
