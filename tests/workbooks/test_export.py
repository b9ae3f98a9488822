"""Plans as plain Mistral workflows: whole, in order, with their undo; or refused, naming what can't be said."""

from typing import Any

import pytest
import yaml
from desk import Desk, quick

HOST = "sim-c01"
Tasks = dict[str, dict[str, Any]]


def exported(desk: Desk, *words: str) -> tuple[Tasks, dict[str, Any]]:
    """The tasks of an exported plan, and the plan."""
    plan = desk.stackmend("plan", *words, "-o", desk.path("plan.json"), "-f", "json").data
    ended = desk.stackmend("workbook", "export", "--plan", desk.path("plan.json"))
    assert ended.code == 0, ended.err
    document = yaml.safe_load(ended.out)
    assert set(document) == {"version", f"{plan['procedure']}-{plan['digest'][:8]}"}
    assert "&" not in ended.out, "Mistral reads no aliases"
    return document[f"{plan['procedure']}-{plan['digest'][:8]}"]["tasks"], plan


def ways(task: dict[str, Any], *clauses: str) -> list[str]:
    """Where a task leads to."""
    found = [way for clause in clauses or ("on-success", "on-error") for way in task.get(clause, [])]
    return [way if isinstance(way, str) else next(iter(way)) for way in found]


def behind(tasks: Tasks, name: str) -> set[str]:
    """Everything that a task leads to when all goes well."""
    found: set[str] = set()
    ahead = ways(tasks[name], "on-success")
    while ahead:
        if (name := ahead.pop()) not in found and name in tasks:
            found.add(name)
            ahead += ways(tasks[name], "on-success")
    return found


def task_of(step: str) -> str:
    return step.replace(":", "-").replace(".", "-").replace("@", "-")


def test_each_step_is_a_task_and_comes_behind_what_it_comes_after(pair: Desk) -> None:
    tasks, plan = exported(pair, "power-loss", *quick())
    named = {task_of(step["name"]) for lane in plan["lanes"] for step in lane["steps"]}
    assert named <= set(tasks)
    assert {way for task in tasks.values() for way in ways(task) if not way.startswith("fail")} <= set(tasks)
    assert behind(tasks, "begin") >= named
    lanes = {lane["key"]: lane["steps"] for lane in plan["lanes"]}
    for lane in plan["lanes"]:
        for earlier in lane["after"]:
            assert task_of(lane["steps"][0]["name"]) in behind(tasks, task_of(lanes[earlier][-1]["name"]))
        for step, following in zip(lane["steps"], lane["steps"][1:], strict=False):
            assert task_of(following["name"]) in behind(tasks, task_of(step["name"]))


def test_what_only_code_can_prove_waits_for_somebody(pair: Desk) -> None:
    tasks, _ = exported(pair, "power-loss", *quick())
    asked = {name for name, task in tasks.items() if task.get("pause-before")}
    assert asked == {"cloud-ready-cloud", "cloud-leftovers-cloud"}


def test_a_failure_takes_back_what_acted_before_it_and_nothing_beyond_the_point_of_no_return(pair: Desk) -> None:
    tasks, plan = exported(pair, "evacuate-host", HOST, "--fenced", "its plug is pulled", "--consent", "all")
    down = task_of(f"host.force-down:{HOST}")
    disable = task_of(f"host.disable:{HOST}")
    assert tasks[f"undo-{disable}"]["action"] == "nova.services_enable"
    assert ways(tasks[f"wait-{down}"], "on-error")[:2] == [f"undo-{down}", f"undo-{disable}"]
    assert ways(tasks[down], "on-error")[0] == f"undo-{disable}"
    assert ways(tasks[f"undo-{down}"], "on-success")[0] == f"undo-{disable}"
    evacuated = [name for name in tasks if name.startswith("server-evacuate")]
    assert len(evacuated) == sum(lane["key"].startswith("server:") for lane in plan["lanes"])
    for name in evacuated:
        (only,) = ways(tasks[f"wait-{name}"], "on-error")
        assert only.startswith("fail")


def test_a_step_that_mistral_has_no_action_for_is_named(shop: Desk) -> None:
    shop.stackmend("plan", "power-loss", *quick(), "-o", shop.path("plan.json"))
    ended = shop.stackmend("workbook", "export", "--plan", shop.path("plan.json"))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("stackmend: Mistral has no action for guest.reboot:")
    assert "by the workflow stackmend.power-loss" in ended.err


def test_steps_that_are_needed_only_sometimes_are_left_out_and_told(shop: Desk) -> None:
    words = ("migrate-servers", "--host", HOST)
    shop.stackmend("plan", *words, "-o", shop.path("plan.json"))
    ended = shop.stackmend("workbook", "export", "--plan", shop.path("plan.json"))
    assert ended.code == 0
    assert ended.err.startswith(
        "left out, as only stackmend can take them, and only where they are needed: server.abort-"
    )
    (name,) = set(yaml.safe_load(ended.out)) - {"version"}
    assert "Left out, as only stackmend can take them" in yaml.safe_load(ended.out)[name]["description"]


def test_a_procedure_is_planned_and_exported_at_once(pair: Desk) -> None:
    ended = pair.stackmend("workbook", "export", "power-loss", "--server", "web", *quick())
    assert ended.code == 0, ended.err
    assert [task for task in yaml.safe_load(ended.out).popitem()[1]["tasks"] if task.startswith("server-reboot")]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--plan", "plan.json", "power-loss"), "--plan exports that plan as it is"),
        (("--plan", "missing.json"), "missing.json can't be read"),
        ((), "name a procedure: `stackmend procedure list` shows them"),
    ],
)
def test_what_can_not_be_exported(pair: Desk, words: tuple[str, ...], why: str) -> None:
    ended = pair.stackmend("workbook", "export", *words)
    assert (ended.code, ended.out) == (2, "")
    assert why in ended.err
