"""Two processes on one run: one of them works, the other says so and does nothing, and each effect comes once."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from matrix import page
from matrix.halting import Command, halted, sampled_owned
from matrix.scenarios import SCENARIOS
from matrix.stage import Instant, MakeStage, Stage
from mortality import Life, Nursery
from waiting import until

RACES, RACE_TIMES = (["power-loss", "evacuate-host"], 8) if page.WHOLE else (["power-loss"], 1)
OWNERS, OWNER_TIMES = (list(SCENARIOS), 4) if page.WHOLE else (["host-return", "migrate-servers"], 1)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Nursery]:
    """A second nursery, whose children live at the same time."""
    (tmp_path / "other").mkdir()
    with Nursery(tmp_path / "other") as found:
        yield found


@pytest.mark.parametrize("name", RACES)
def test_two_resume_at_the_same_moment(
    make_stage: MakeStage, nursery: Nursery, other: Nursery, record: page.Record, name: str
) -> None:
    stage = make_stage(name)
    for at in sampled_owned(stage, RACE_TIMES, random.Random(page.SEED), share=0.5):
        with halted(nursery, stage, at) as command:
            command.leave()
            done = stage.steps()
        lives = resumed_by_two(stage, nursery, other)
        assert sorted(life.code for life in lives) == [0, 5], lives
        one_sentence(next(life for life in lives if life.code == 5))
        played = stage.go_on()
        played.done |= done
        stage.as_undisturbed(f"two after {at}", played)
    record("split brain", name, **{"two resume at once": RACE_TIMES})


@pytest.mark.parametrize("name", OWNERS)
def test_stopped_for_longer_than_its_lease(
    make_stage: MakeStage, nursery: Nursery, other: Nursery, record: page.Record, name: str
) -> None:
    """Somebody else has brought the run to its end when it wakes up: it writes nothing, and calls nothing."""
    stage = make_stage(name)
    stage.desk.settings(lanes=1, settle=0.2, poll_interval=0.02, lease=2.0)
    for at in sampled_owned(stage, OWNER_TIMES, random.Random(page.SEED)):
        with halted(other, stage, at) as command:
            done = stage.steps()
            until(lambda: stage.state() != "running", "its lease has run out")
            played = stage.go_on()
            played.done |= done
            before = traces(stage)
            late = command.to_its_end()
        assert late.code == 5, late
        one_sentence(late)
        for what, now, then in zip(("calls", "effects", "the store"), traces(stage), before, strict=True):
            assert now == then, f"{what}, stopped at {at}: {late}"
        stage.as_undisturbed(f"stopped at {at}", played)
    record("split brain", name, **{"stopped, taken over, continued": OWNER_TIMES})


def test_asleep_between_taking_a_run_and_beginning_with_it(
    make_stage: MakeStage, nursery: Nursery, other: Nursery
) -> None:
    """It must not open again, when it wakes up, what somebody else has ended."""
    stage = make_stage("reattach-volumes")
    stage.desk.settings(lanes=1, settle=0.2, poll_interval=0.02, lease=2.0)
    # Planned, approved, taken.
    with halted(other, stage, Instant("after a commit", 3)) as command:
        until(lambda: stage.state() != "running", "its lease has run out")
        played = stage.go_on()
        before = traces(stage)
        late = command.to_its_end()
    assert late.code == 5, late
    assert traces(stage) == before
    stage.as_undisturbed("stopped before it began", played)


def resumed_by_two(stage: Stage, *nurseries: Nursery) -> list[Life]:
    """Both have begun, and are let go at the same moment."""
    both = [Command(nursery, stage, ["resume", "work"]) for nursery in nurseries]
    assert all(command.stood() for command in both)
    for command in both:
        command.go_on()
    return [command.life() for command in both]


def one_sentence(life: Life) -> None:
    """Its last line is for an operator."""
    assert "Traceback" not in life.err
    assert life.err.splitlines()[-1].startswith("stackmend: "), life.err


def traces(stage: Stage) -> tuple[object, ...]:
    """All that somebody could have left: calls, effects, and every row of the run store."""
    with closing(sqlite3.connect(stage.desk.store)) as link:
        rows = list(link.iterdump())
    sent = [one for one in stage.desk.cloud.calls() if one["method"] != "GET" and one["service"] != "identity"]
    return sent, stage.effects_now(), rows
