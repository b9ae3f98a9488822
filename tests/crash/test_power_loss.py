"""power-loss, killed and resumed: each effect once, and the end as if it had not been killed."""

import os

import pytest
from mortality import KILLED
from rehearsal import Rehearsal, essence, left_behind

# The instants are dealt out to this many hands; two of them are played, and all with STACKMEND_TEST_EVERY=1.
HANDS = 6
PLAYED = range(HANDS) if os.environ.get("STACKMEND_TEST_EVERY") == "1" else (0, 3)


@pytest.mark.parametrize("hand", PLAYED)
def test_killed_and_resumed(rehearsal: Rehearsal, hand: int) -> None:
    """Killed at instant k, for every k of this hand until the run outlives it."""
    died = 0
    for die_at in range(hand + 1, 10_000, HANDS):
        life = rehearsal.strike(die_at)
        if life.code == 0:
            break
        assert life.code == KILLED, life.err
        died += 1
        where = f"instant {die_at}: {life.instants[-1]}"
        done = rehearsal.steps()
        finished = rehearsal.finish()
        assert finished.code == 0, f"{where}: {finished.err}"
        assert rehearsal.effects_now() == rehearsal.effects, where
        assert essence(rehearsal.desk) == rehearsal.rows, where
        assert done.items() <= rehearsal.steps().items(), f"{where}: a finished step was executed again"
        assert left_behind(rehearsal.desk.store) == [], where
    assert died > 5, "the run has fewer instants than that"


def test_killed_twice(rehearsal: Rehearsal) -> None:
    """The resumer dies too, at instants of its own, and a third process finishes."""
    for first, second in ((21, 5), (30, 12), (38, 9), (44, 20)):
        assert rehearsal.strike(first).code == KILLED
        again = rehearsal.command(["resume", "loss", *rehearsal.desk.sql], second)
        assert again.code == KILLED, again.err
        finished = rehearsal.finish()
        assert finished.code == 0, finished.err
        assert rehearsal.effects_now() == rehearsal.effects, (first, second)
        assert essence(rehearsal.desk) == rehearsal.rows, (first, second)
