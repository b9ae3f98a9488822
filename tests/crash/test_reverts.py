"""Each procedure, stopped after a step and taken back: the cloud is as it was, or that step is past no return."""

from typing import Any

import pytest
from matrix import page
from matrix.scenarios import SCENARIOS
from matrix.stage import MakeStage, Stage
from mortality import KILLED
from truth import apart, left_behind, rows

_NAMES = [name for name, scenario in SCENARIOS.items() if not scenario.reverted]


@pytest.mark.parametrize("hand", page.HANDS[:2])
@pytest.mark.parametrize("name", _NAMES)
def test_taken_back(make_stage: MakeStage, record: page.Record, name: str, hand: int) -> None:
    stage = make_stage(name)
    noted = [one for one in stage.points(1) if one.name == "after a commit"]
    counted = {"taken_back": 0, "past_no_return": 0, "nothing_done": 0}
    for death in noted[hand :: 2 if page.WHOLE else 41]:
        stage.set_up()
        if stage.command(stage.start, death).code == KILLED:
            counted[taken_back(stage, str(death))] += 1
    record("taken back", name, **counted)


def taken_back(stage: Stage, where: str) -> str:
    """Revert what was begun; what came of it."""
    if stage.state() in (None, "awaiting-approval"):
        return "nothing_done"
    asked = asked_of_the_cloud(stage)
    life = stage.command(["revert", "work"])
    if "changed nothing" in life.err:
        assert apart(rows(stage.desk), stage.before) == {}, f"{where}: {life.err}"
        return "nothing_done"
    if "can't be taken back" in life.err:
        assert life.code == 4, f"{where}: {life.err}"
        assert asked_of_the_cloud(stage) == asked, f"{where}: refused, and yet something was asked for"
        stage.as_undisturbed(where, stage.go_on())
        return "past_no_return"
    assert (life.code, stage.state()) == (0, "reverted"), f"{where}: {life.err}"
    now = rows(stage.desk)
    # A migration there and one back are two records more.
    now.pop("migrations")
    told = told_of_as_unbound(stage, now)
    assert apart(but(now, told), but(stage.before, told)) == {}, f"{where}: {life.err}"
    assert left_behind(stage.desk.store) == [], where
    return "taken_back"


def told_of_as_unbound(stage: Stage, now: dict[str, Any]) -> set[str]:
    """The ports that could not be bound back, as their host's agent is dead: the report names each of them."""
    failed = {row[0] for row in now["ml2_port_bindings"] if "binding_failed" in row}
    failed -= {row[0] for row in stage.before["ml2_port_bindings"] if "binding_failed" in row}
    lanes = stage.desk.stackmend("report", "work", "-f", "json").data["lanes"] if failed else []
    steps = {step["name"]: str(step["evidence"]) for lane in lanes for step in lane["steps"]}
    assert [port for port in failed if "not bound until the L2 agent" not in steps[f"port.rebind:{port}"]] == []
    return failed


def but(found: dict[str, Any], ports: set[str]) -> dict[str, Any]:
    """The rows without those of some ports."""
    return {name: [row for row in rows if not ports & set(row)] for name, rows in found.items()}


def asked_of_the_cloud(stage: Stage) -> tuple[list[tuple[str, str, str]], int]:
    """Every call and the number of statements that could change something; what was asked before goes on by itself."""
    statements = [effect for effect in stage.desk.cloud.journal() if effect["kind"].startswith("sql.")]
    return stage.desk.calls(), len(statements)
