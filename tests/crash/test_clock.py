"""The clock is set back or ahead by an hour: effects come once all the same, and nobody waits for an hour."""

import random
from collections.abc import Callable

import pytest
from matrix import disturbances, page
from matrix.halting import Command, halted, named, sampled
from matrix.scenarios import SCENARIOS
from matrix.stage import Instant, MakeStage, Played, Stage
from mortality import Nursery
from waiting import until

NAMES, TIMES = (list(SCENARIOS), 4) if page.WHOLE else (["power-loss"], 1)
SHIFTS = [disturbances.clock_back, disturbances.clock_ahead]
REBOOT = {"service": "compute", "method": "POST", "path": "/action$", "body": "reboot"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_set_on_the_way(
    make_stage: MakeStage, nursery: Nursery, record: page.Record, shift: Callable[[], None], name: str
) -> None:
    """In the middle of a command; and between the one that was killed and the one that goes on."""
    stage = make_stage(name)
    for at in sampled(stage, TIMES, random.Random(f"{page.SEED} {shift.__name__}")):
        stage.as_undisturbed(f"{shift.__name__}: {at}", shifted_at(stage, nursery, at, shift))
        with halted(nursery, stage, at) as command:
            command.leave()
            done = stage.steps()
        stage.mutant = named(shift)
        played = stage.go_on()
        stage.mutant = ""
        played.done |= done
        stage.as_undisturbed(f"{shift.__name__} after {at}", played)
    record("the clock is set", name, **{shift.__name__.replace("_", " "): 2 * TIMES})


def shifted_at(stage: Stage, nursery: Nursery, at: Instant, shift: Callable[[], None]) -> Played:
    """All of it, in processes whose clock is set at this instant."""
    stage.set_up()
    played = Played()
    while words := stage.due():
        life = Command(nursery, stage, words, at.after(played.instants), shift).life()
        assert life.code in (0, 6), life.err
        played.instants += life.instants
    return played


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_call_in_the_air(make_stage: MakeStage, nursery: Nursery, shift: Callable[[], None]) -> None:
    """Its sender was killed; it is waited for as long as any call, whatever the clock says, and not sent again."""
    stage = make_stage("power-loss")
    # Longer than a busy machine takes to begin anew.
    stage.desk.settings(lanes=1, settle=60.0, poll_interval=0.02)
    stage.set_up()
    held = stage.desk.cloud.fault("pause-before-effect", times=1, **REBOOT)
    sender = Command(nursery, stage, stage.start, how=disturbances.none)
    held.wait(60)
    sender.leave()
    known = len(stage.desk.cloud.calls())
    resumed = Command(nursery, stage, ["resume", "work"], how=shift)
    until(lambda: looks(stage, known) > 2 or stage.desk.rebooted(), "whoever resumes has looked again and again")
    assert stage.desk.rebooted() == []
    held.release()
    assert resumed.life().code == 0, resumed.life().err
    stage.as_undisturbed(shift.__name__, stage.go_on())


def looks(stage: Stage, since: int) -> int:
    """How often a server's actions were asked for."""
    return sum("os-instance-actions" in one["path"] for one in stage.desk.cloud.calls()[since:])
