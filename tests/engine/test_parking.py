"""A lane that only waits is parked: what is done once stays done once, and a step goes on behind its wait."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from waiting import until

from stackmend.engine import clock, planning, procedures, runs, status, tables
from stackmend.engine.coordinator import Limits
from stackmend.engine.journal import Journal
from stackmend.engine.plan import Lane, Stage
from stackmend.engine.procedures import Draft, Procedure
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Step, Wait
from stackmend.engine.store import Store
from stackmend.errors import NeedsHands

CLOUD = {"auth_url": "http://cloud.example"}
KETTLES = ("black", "red", "white")


class Kitchen:
    """Kettles that are put on, and boil when the test says so; ``log`` tells what was done to each."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.waits: dict[str, Waits] = {}
        self.sips = 1

    def done_to(self, kettle: str) -> list[str]:
        return [entry.split()[0] for entry in self.log if entry.split()[1] == kettle]

    def wait_for(self, name: str) -> "Waits":
        self.waits[name] = Waits()
        return self.waits[name]

    def waiting(self, *names: str) -> None:
        """Wait until all of these are waited for."""
        until(lambda: all(name in self.waits and self.waits[name].begun for name in names), f"{names} are waited for")

    def came(self, name: str) -> None:
        """What is waited for is there."""
        self.waits.pop(name).over.set_result([f"{name} came"])


class Waits:
    """A wait that the test ends, or what it is told to ask."""

    def __init__(self) -> None:
        self.over: Future[list[Any]] = Future()
        self.begun: Callable[[], None] | None = None

    def begin(self, check: Callable[[], None]) -> "Future[list[Any]]":
        self.begun = check
        return self.over

    def heed(self) -> None:
        """Ask whether it is to be ended, as a poll does every second."""
        assert self.begun is not None
        try:
            self.begun()
        except BaseException as error:  # noqa: BLE001 - Stopped is none of the usual ones
            self.over.set_exception(error)


class Boil(Step):
    """Puts one kettle on. Undo: takes it off."""

    slug = "boil"
    title = "boil"
    burdens_host = True

    def observe(self, kitchen: Kitchen) -> Seen:
        seen = "on" in kitchen.done_to(self.target)
        kitchen.log.append(f"look {self.target}")
        return InFlight() if seen else NotStarted({})

    def act(self, kitchen: Kitchen) -> str:
        kitchen.log.append(f"on {self.target}")
        return "req-1"

    def confirm(self, journal: Journal, kitchen: Kitchen) -> Evidence:
        found = [journal.wait(self.name, kitchen.wait_for(self.target))[0] for _ in range(kitchen.sips)]
        kitchen.log.append(f"boils {self.target}")
        return {"found": found}

    def undo(self) -> Evidence:
        return {}


class Cool(Wait):
    """Waits until a kettle is cool. Undo: it only reads."""

    slug = "cool"
    title = "cool"

    def confirm(self, journal: Journal, kitchen: Kitchen) -> Evidence:
        found = journal.wait(self.name, kitchen.wait_for(f"cool-{self.target}"))
        kitchen.log.append(f"cool {self.target}")
        return {"found": found}


class Drink(Step):
    """Reads only. Undo: nothing to undo."""

    slug = "drink"
    title = "drink"
    reads_only = True

    def observe(self, kitchen: Kitchen) -> Seen:
        kitchen.log.append(f"drink {self.target}")
        return Done({})


def _draft(_capture: dict[str, Any], _parameters: Mapping[str, Any]) -> Draft:
    return Draft([Lane(f"kettle:{name}", name, "tea", {"kettle": name}, [], group="stove") for name in KETTLES], [], [])


def _steps(_stage: str, facts: dict[str, Any]) -> list[Step]:
    return [Boil(facts["kettle"]), Cool(facts["kettle"], 60), Drink(facts["kettle"])]


PROCEDURE = Procedure(
    name="tea",
    version="1",
    summary="",
    guide="",
    parameters=(),
    stages=(Stage("tea", "tea"),),
    capture=lambda _doors, _parameters: {},
    draft=_draft,
    steps=_steps,
    doors=frozenset(["kitchen"]),
)


class Evening:
    """A run of three kettles with one thread, worked on in the background."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor) -> None:
        self.store, self._pool = store, pool
        self.kitchen, self.stop, self.drain = Kitchen(), threading.Event(), threading.Event()
        self.run_id, _ = store.create(planning.make(PROCEDURE, {}, {}, CLOUD), "tonight")
        store.approve(self.run_id)

    def begin(self, group: int = 3, what: Callable[..., str | None] = runs.execute) -> "Future[str | None]":
        self.stop.clear()
        doors, limits = {"kitchen": self.kitchen}, Limits(lanes=3, group=group, threads=1)
        session = runs.Session(doors, CLOUD, limits, self.stop, drain=self.drain)
        return self._pool.submit(what, self.store, self.run_id, session)

    def all_come(self, *prefixes: str) -> None:
        for prefix in prefixes:
            for kettle in KETTLES:
                self.kitchen.waiting(f"{prefix}{kettle}")
                self.kitchen.came(f"{prefix}{kettle}")

    def results(self) -> dict[str, Any]:
        with self.store.engine.connect() as link:
            return {row.name: row.results for row in link.execute(sa.select(tables.ATOMS))}


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    procedures.catalogue()["tea"] = PROCEDURE
    store = Store(f"sqlite:///{tmp_path}/runs.sqlite")
    with ThreadPoolExecutor(1) as pool:
        yield Evening(store, pool)
    store.close()
    del procedures.catalogue()["tea"]


def test_each_is_looked_at_and_done_once_however_often_it_waits(evening: Evening) -> None:
    """With one thread all three wait at the same time; the step that waited gets what came, and tells when it began."""
    over = evening.begin()
    evening.kitchen.waiting(*KETTLES)
    parked = clock.now()
    evening.all_come("", "cool-")
    assert over.result(30) == status.DONE
    for kettle in KETTLES:
        assert evening.kitchen.done_to(kettle) == ["look", "on", "boils", "cool", "drink"]
        found = evening.results()
        assert found[f"boil:{kettle}"]["evidence"] == {"found": [f"{kettle} came"]}
        assert found[f"boil:{kettle}"]["began"] < parked < found[f"boil:{kettle}"]["ended"]
        assert found[f"cool:{kettle}"]["evidence"] == {"found": [f"cool-{kettle} came"]}


def test_a_step_that_only_waits_tells_when_it_began(evening: Evening) -> None:
    over = evening.begin()
    evening.all_come("")
    evening.kitchen.waiting(*(f"cool-{kettle}" for kettle in KETTLES))
    parked = clock.now()
    evening.all_come("cool-")
    assert over.result(30) == status.DONE
    assert all(evening.results()[f"cool:{kettle}"]["began"] < parked for kettle in KETTLES)


def test_what_burdens_the_host_makes_room_when_it_is_over(evening: Evening) -> None:
    """A parked lane keeps its place on the stove until its kettle boils, and gives it up while it cools."""
    over = evening.begin(group=1)
    for number, kettle in enumerate(KETTLES):
        evening.kitchen.waiting(kettle)
        assert len([entry for entry in evening.kitchen.log if entry.startswith("on")]) == number + 1
        evening.kitchen.came(kettle)
    evening.all_come("cool-")
    assert over.result(30) == status.DONE


def test_what_ends_a_wait_is_its_steps_failure_and_a_retry_looks_again(evening: Evening) -> None:
    over = evening.begin()
    evening.kitchen.waiting(*KETTLES)
    evening.kitchen.waits.pop("red").over.set_exception(NeedsHands("the red one leaks"))
    for prefix in ("", "cool-"):
        for kettle in ("black", "white"):
            evening.kitchen.waiting(f"{prefix}{kettle}")
            evening.kitchen.came(f"{prefix}{kettle}")
    assert over.result(30) == status.DONE_WITH_EXCEPTIONS
    assert evening.kitchen.done_to("red") == ["look", "on"]
    over = evening.begin(what=runs.retry)
    for name in ("red", "cool-red"):
        evening.kitchen.waiting(name)
        evening.kitchen.came(name)
    assert over.result(30) == status.DONE
    assert evening.kitchen.done_to("red") == ["look", "on", "look", "boils", "cool", "drink"]


def test_one_that_is_stopped_while_it_is_parked_is_resumed_without_a_second_effect(evening: Evening) -> None:
    over = evening.begin()
    evening.kitchen.waiting(*KETTLES)
    evening.stop.set()
    for kettle in KETTLES:
        evening.kitchen.waits.pop(kettle).heed()
    assert over.result(30) is None
    assert {lane.state for lane in evening.store.lanes(evening.store.run(evening.run_id))} == {status.INTERRUPTED}
    over = evening.begin()
    evening.all_come("", "cool-")
    assert over.result(30) == status.DONE
    for kettle in KETTLES:
        assert evening.kitchen.done_to(kettle) == ["look", "on", "look", "boils", "cool", "drink"]


def test_one_that_is_parked_when_its_worker_drains_ends_its_step_and_begins_no_other(evening: Evening) -> None:
    over = evening.begin()
    evening.kitchen.waiting(*KETTLES)
    evening.drain.set()
    evening.all_come("")
    assert over.result(30) is None
    assert all(evening.kitchen.done_to(kettle) == ["look", "on", "boils"] for kettle in KETTLES)
    evening.drain.clear()
    over = evening.begin()
    evening.all_come("cool-")
    assert over.result(30) == status.DONE
    assert all(evening.kitchen.done_to(kettle) == ["look", "on", "boils", "cool", "drink"] for kettle in KETTLES)


def test_a_second_wait_of_a_step_is_waited_out_in_its_thread(evening: Evening) -> None:
    """It is short, and what came first is not asked for again."""
    evening.kitchen.sips = 2
    over = evening.begin()
    evening.kitchen.waiting(*KETTLES)
    for kettle in KETTLES:
        for _ in range(2):
            evening.kitchen.waiting(kettle)
            evening.kitchen.came(kettle)
    evening.all_come("cool-")
    assert over.result(30) == status.DONE
    assert all(evening.kitchen.done_to(kettle) == ["look", "on", "boils", "cool", "drink"] for kettle in KETTLES)
