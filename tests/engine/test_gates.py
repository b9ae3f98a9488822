"""Nothing goes on behind a gate that did not hold: not at once, not by a resume, not by another lane's retry."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackmend.engine import planning, procedures, report, runs, status
from stackmend.engine.coordinator import Limits
from stackmend.engine.ownership import Lease
from stackmend.engine.plan import Lane, Stage
from stackmend.engine.procedures import Draft, Procedure
from stackmend.engine.step import Done, NotStarted, Seen, Step
from stackmend.engine.store import Store
from stackmend.errors import BadInput, LeaseLost, Refused

CLOUD = {"auth_url": "http://cloud.example"}


class House:
    """Doors that open, unless they are stuck."""

    def __init__(self, *stuck: str) -> None:
        self.stuck = set(stuck)
        self.opened: list[str] = []


class Open(Step):
    """Opens one door. Undo: shuts it."""

    slug = "door"
    title = "open"

    def observe(self, house: House) -> Seen:
        return Done({}) if self.target in house.opened else NotStarted({})

    def act(self, house: House) -> str:
        if self.target in house.stuck:
            raise Refused(f"door {self.target} is stuck")
        house.opened.append(self.target)
        return "req-1"

    def confirm(self) -> dict[str, Any]:
        return {}

    def undo(self, house: House) -> dict[str, Any]:
        house.opened.remove(self.target)
        return {}


def _draft(_capture: dict[str, Any], _parameters: Mapping[str, Any]) -> Draft:
    doors = (("gate", "gate"), ("hall", "hall"), ("attic", "hall"), ("back", "back"))
    return Draft([Lane(f"door:{name}", name, stage, {"door": name}, []) for name, stage in doors], [], [])


PROCEDURE = Procedure(
    name="doors",
    version="1",
    summary="",
    guide="",
    parameters=(),
    stages=(Stage("gate", "gate", gate=True), Stage("hall", "hall"), Stage("back", "back", hold="look around")),
    capture=lambda _doors, _parameters: {},
    draft=_draft,
    steps=lambda _stage, facts: [Open(facts["door"])],
    doors=frozenset(["house"]),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    procedures.catalogue()["doors"] = PROCEDURE
    opened = Store(f"sqlite:///{tmp_path}/runs.sqlite")
    yield opened
    opened.close()
    del procedures.catalogue()["doors"]


def session(house: House) -> runs.Session:
    return runs.Session({"house": house}, CLOUD)


def begun(store: Store, house: House) -> str:
    run_id, _ = store.create(planning.make(PROCEDURE, {}, {}, CLOUD), "tonight")
    store.approve(run_id)
    runs.execute(store, run_id, session(house))
    return run_id


def test_a_resume_does_not_go_round_a_gate_that_failed(store: Store) -> None:
    house = House("gate")
    run_id = begun(store, house)
    with pytest.raises(BadInput, match="stopped at its stage gate"):
        runs.execute(store, run_id, session(house))
    assert house.opened == []


def test_a_gate_that_failed_is_not_what_a_later_stage_is_held_for(store: Store) -> None:
    run_id = begun(store, House("gate"))
    told = report.status_of(store, run_id)
    assert (told["state"], told["waits_for"]) == (status.NEEDS_HANDS, None)


def test_a_retry_of_another_lane_does_not_open_it(store: Store) -> None:
    house = House("hall")
    run_id = begun(store, house)
    assert sorted(house.opened) == ["attic", "gate"]
    runs.revert(store, run_id, session(house), ["gate"])
    runs.retry(store, run_id, session(house), ["hall"])
    assert house.opened == ["attic"]


def test_once_the_gate_holds_the_rest_goes_on(store: Store) -> None:
    house = House("gate")
    run_id = begun(store, house)
    house.stuck.clear()
    runs.retry(store, run_id, session(house))
    assert (house.opened[0], sorted(house.opened)) == ("gate", ["attic", "gate", "hall"])
    assert report.status_of(store, run_id)["waits_for"] == "look around"


def test_a_gate_that_was_skipped_is_open(store: Store) -> None:
    house = House("gate")
    run_id = begun(store, house)
    runs.skip(store, run_id, "door:gate", "it is gone")
    runs.execute(store, run_id, session(house))
    assert sorted(house.opened) == ["attic", "hall"]


def test_whoever_lost_the_run_after_its_last_lane_does_not_end_it(store: Store) -> None:
    house, lost = House(), []

    def told(lane: status.LaneStatus) -> None:
        if len(house.opened) == 3 and not lost:
            other = Lease.take(store.engine, store.find("tonight"), True, 60.0)
            lost.append((other, store.events(store.find("tonight"))))

    run_id, _ = store.create(planning.make(PROCEDURE, {}, {}, CLOUD), "tonight")
    store.approve(run_id)
    with pytest.raises(LeaseLost):
        # One lane at a time: the last one to open its door is then the last to be told of.
        runs.execute(store, run_id, replace(session(house), told=told, limits=Limits(lanes=1)))
    ((other, events),) = lost
    assert store.events(run_id) == events
    assert store.run(run_id).owner is not None
    other.release()
