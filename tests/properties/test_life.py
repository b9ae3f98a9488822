"""The life of a run: whatever operators type in whatever order, and whatever goes wrong meanwhile.

Each effect happens at most once while it is not taken back, what is told of a step is true, and nothing is held by
a run at which nobody works.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from properties.examples import few
from properties.plans import refusal
from properties.street import CLOUD, FUSES, LAMPS, LANES, PROCEDURE, Street

from stackmend.engine import locks, planning, procedures, report, runs, status
from stackmend.engine.database import reading
from stackmend.engine.status import StepStatus
from stackmend.engine.store import Store
from stackmend.errors import StackmendError

lamps = st.sets(st.sampled_from(LAMPS), max_size=2)
one_lamp = st.sampled_from(LAMPS)
some_lanes = st.none() | st.lists(st.sampled_from(list(LANES)), min_size=1, max_size=2, unique=True)
_OVER = frozenset([status.DONE, status.REVERTED, status.ABANDONED])
_ENDED_WELL = frozenset([status.DONE, status.SKIPPED, status.REVERTED])


class Life(RuleBasedStateMachine):
    """One run of the street's lamps, and its operators."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self.store = Store(f"sqlite:///{Path(self._directory.name) / 'runs.sqlite'}")
        self.street = Street()
        self.abandoned = False
        procedures.catalogue()["street"] = PROCEDURE

    def teardown(self) -> None:
        self.store.close()
        self._directory.cleanup()
        del procedures.catalogue()["street"]

    @initialize()
    def plan(self) -> None:
        self.run_id, _ = self.store.create(planning.make(PROCEDURE, {}, {}, CLOUD), "tonight")

    @rule(broken=lamps, lost=lamps, stuck=lamps)
    def the_street_is_so(self, broken: set[str], lost: set[str], stuck: set[str]) -> None:
        self.street.broken, self.street.lost, self.street.stuck = broken, lost, stuck

    @rule(stage=st.sampled_from(["", "", "night"]))
    def approve(self, stage: str) -> None:
        self.store.approve(self.run_id, stage=stage)

    @rule(stop_at=st.none() | one_lamp)
    def resume(self, stop_at: str | None) -> None:
        self._work(lambda session: runs.execute(self.store, self.run_id, session), stop_at)

    @rule(lanes=some_lanes, stop_at=st.none() | one_lamp)
    def retry(self, lanes: list[str] | None, stop_at: str | None) -> None:
        self._work(lambda session: runs.retry(self.store, self.run_id, session, lanes), stop_at)

    @rule(lanes=some_lanes, where_possible=st.booleans())
    def revert(self, lanes: list[str] | None, where_possible: bool) -> None:
        before = dict(self.street.acts)
        self._work(lambda session: runs.revert(self.store, self.run_id, session, lanes, where_possible), None)
        assert dict(self.street.acts) == before, "a revert lights nothing"

    @rule(lamp=one_lamp)
    def skip(self, lamp: str) -> None:
        self._refused_or(lambda: runs.skip(self.store, self.run_id, f"lamp:{lamp}", "it is day"))

    @precondition(lambda self: self.street.acts)
    @rule(sure=st.integers(0, 3))
    def abandon(self, sure: int) -> None:
        if not sure and self._refused_or(lambda: runs.abandon(self.store, self.run_id, "go home")):
            self.abandoned = True

    @invariant()
    def nothing_was_done_twice(self) -> None:
        assert self.street.wrong == []

    @invariant()
    def what_is_told_of_a_step_is_true(self) -> None:
        for lamp, step in self._steps().items():
            lit = lamp in self.street.lit
            if step.state == status.DONE:
                assert lit
            if step.state == status.REVERTED:
                assert not lit
            if lit:
                assert step.acted, f"{lamp} is lit and its step knows nothing of it"

    @invariant()
    def what_is_told_of_the_run_is_true(self) -> None:
        run = self.store.run(self.run_id)
        told = report.status_of(self.store, self.run_id)
        assert run.owner is None
        if self.abandoned and run.outcome == status.ABANDONED:
            assert told["state"] == status.ABANDONED
        if told["state"] == status.DONE:
            assert self.street.lit == set(LAMPS)
        if told["state"] == status.REVERTED:
            assert self.street.lit <= FUSES or self._left_out()
        report.report(self.store, self.run_id)

    @invariant()
    def nothing_is_held_that_has_ended(self) -> None:
        run = self.store.run(self.run_id)
        with reading(self.store.engine) as connection:
            held = set(locks.held_by(connection, self.run_id))
        ended = {f"lane:{lane.key}" for lane in self.store.lanes(run) if lane.state in _ENDED_WELL}
        assert not held & ended
        if run.outcome in _OVER or run.started_at is None:
            assert held == set()

    def _work(self, work: Callable[[runs.Session], str | None], stop_at: str | None) -> None:
        """Do it, as a command would; what was finished before is not executed again."""
        self.street.stop.clear()
        self.street.stop_at = stop_at
        before, acts = self._steps(), dict(self.street.acts)
        session = runs.Session({"street": self.street}, CLOUD, stop=self.street.stop, settle=0.0)
        self._refused_or(lambda: work(session))
        for lamp, step in before.items():
            if step.state in (status.DONE, status.SKIPPED) or self.abandoned:
                assert self.street.acts[lamp] == acts.get(lamp, 0), f"{lamp} was {step.state}"

    def _refused_or(self, do: Callable[[], object]) -> bool:
        """Whether it was done; else it was refused in a sentence."""
        try:
            do()
        except StackmendError as refused:
            refusal(refused)
            return False
        return True

    def _steps(self) -> dict[str, StepStatus]:
        lanes = self.store.lanes(self.store.run(self.run_id))
        return {step.name[5:]: step for lane in lanes for step in lane.steps if step.name.startswith("lamp:")}

    def _left_out(self) -> bool:
        return any(step.state == status.SKIPPED for step in self._steps().values())


def test_the_life_of_a_run() -> None:
    run_state_machine_as_test(Life, settings=settings(few(15), stateful_step_count=25))


def test_an_abandoned_run_is_left_alone() -> None:
    """A retry once took its targets back, and went on."""
    life = Life()
    life.plan()
    life.approve("")
    life.the_street_is_so({"e1"}, set(), set())
    life.resume(None)
    life.abandon(0)
    life.the_street_is_so(set(), set(), set())
    life.retry(None, None)
    life.skip("e1")
    life.revert(None, True)
    life.nothing_is_held_that_has_ended()
    life.what_is_told_of_the_run_is_true()
    assert (life.abandoned, life.street.lit) == (True, {"main", "w1", "fuse", "w2"})
    life.teardown()
