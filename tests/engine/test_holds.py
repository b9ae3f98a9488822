"""A held stage waits for an operator; a step whose effect failed in the cloud tries again, a few times."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stackmend.engine import planning, procedures, report, runs, status
from stackmend.engine.plan import Lane, Stage
from stackmend.engine.procedures import Draft, Procedure
from stackmend.engine.step import Again, Done, Evidence, InFlight, NotStarted, Seen, Step
from stackmend.engine.store import Store
from stackmend.errors import NotApproved

CLOUD = {"auth_url": "http://cloud.example"}


class World:
    """Lights that can be switched on, and how often each one fails before it shines."""

    def __init__(self, failures: int = 0) -> None:
        self.lit: list[str] = []
        self.failures = failures
        self.switched: list[str] = []


class Light(Step):
    """Switches one light on. Undo: off again."""

    slug = "light"
    title = "light"
    most_attempts = 3

    def observe(self, world: World) -> Seen:
        if self.target in world.lit:
            return Done({})
        return NotStarted({})

    def act(self, world: World) -> str:
        world.switched.append(self.target)
        if world.failures:
            world.failures -= 1
        else:
            world.lit.append(self.target)
        return "req-1"

    def confirm(self, world: World) -> Evidence:
        if self.target not in world.lit:
            raise Again(0.0, f"the bulb of {self.target} stayed dark")
        return {"lit": True}

    def undo(self, world: World) -> Evidence:
        world.lit.remove(self.target)
        return {}


class Look(Step):
    """Reads only. Undo: nothing to undo."""

    slug = "look"
    reads_only = True

    def observe(self) -> Seen:
        return InFlight()

    def confirm(self) -> Evidence:
        return {}


def _draft(_capture: dict[str, Any], _parameters: Mapping[str, Any]) -> Draft:
    lanes = [Lane(f"lamp:{stage}", stage, stage, {"lamp": stage}, []) for stage in ("out", "back")]
    return Draft(lanes, [], [])


PROCEDURE = Procedure(
    name="lights",
    version="1",
    summary="",
    guide="",
    parameters=(),
    stages=(Stage("out", "out"), Stage("back", "back", hold="change the bulb")),
    capture=lambda _doors, _parameters: {},
    draft=_draft,
    steps=lambda _stage, facts: [Look(facts["lamp"]), Light(facts["lamp"])],
    doors=frozenset(["world"]),
)


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    procedures.catalogue()["lights"] = PROCEDURE
    yield
    del procedures.catalogue()["lights"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/runs.sqlite")
    yield opened
    opened.close()


def begun(store: Store, world: World) -> str:
    run_id, _ = store.create(planning.make(PROCEDURE, {}, {}, CLOUD), "tonight")
    store.approve(run_id)
    runs.execute(store, run_id, session(world))
    return run_id


def session(world: World) -> runs.Session:
    return runs.Session({"world": world}, CLOUD)


def test_a_held_stage_waits_for_its_approval(store: Store) -> None:
    world = World()
    run_id = begun(store, world)
    told = report.status_of(store, run_id)
    assert (told["state"], told["waits_for"]) == (status.WAITING_OPERATOR, "change the bulb")
    assert world.lit == ["out"]
    with pytest.raises(NotApproved, match="change the bulb"):
        runs.execute(store, run_id, session(world))
    assert world.lit == ["out"]
    store.approve(run_id, stage="back")
    assert runs.execute(store, run_id, session(world)) == status.DONE
    assert world.lit == ["out", "back"]
    assert report.status_of(store, run_id)["waits_for"] is None


def test_a_run_can_be_reverted_where_it_is_held(store: Store) -> None:
    world = World()
    run_id = begun(store, world)
    assert runs.revert(store, run_id, session(world)) == status.REVERTED
    assert world.lit == []


def test_a_lane_that_failed_does_not_lift_the_hold(store: Store) -> None:
    world = World(failures=5)
    run_id = begun(store, world)
    assert report.status_of(store, run_id)["state"] == status.WAITING_OPERATOR
    assert world.switched == ["out"] * 3


def test_what_failed_in_the_cloud_is_tried_again(store: Store) -> None:
    world = World(failures=2)
    begun(store, world)
    assert (world.switched, world.lit) == (["out"] * 3, ["out"])


def test_the_last_attempt_tells_why(store: Store) -> None:
    run_id = begun(store, World(failures=3))
    (error,) = (lane["error"] for lane in report.status_of(store, run_id)["lanes"] if lane["error"])
    assert "sent 3 times" in error
    assert "the bulb of out stayed dark" in error


def test_whoever_retries_gives_as_many_attempts_again(store: Store) -> None:
    world = World(failures=4)
    run_id = begun(store, world)
    assert runs.retry(store, run_id, session(world)) is None
    assert (world.switched, world.lit) == (["out"] * 5, ["out"])
