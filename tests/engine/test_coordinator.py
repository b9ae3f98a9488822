"""Which lane begins when: stages, dependencies, priorities, room; and what one lane's end means for others."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from waiting import until

from stackmend.engine.coordinator import Coordinator, Limits, backwards
from stackmend.engine.journal import Stopped
from stackmend.engine.parking import Parking
from stackmend.engine.plan import Lane, Stage
from stackmend.errors import NeedsHands, StoreError

STAGES = (Stage("gate", "", gate=True), Stage("work", ""), Stage("sweep", ""))


def lane(key: str, stage: str = "work", *, after: tuple[str, ...] = (), priority: int = 0, group: str = "") -> Lane:
    return Lane(key, key, stage, {}, [], after=list(after), priority=priority, group=group)


class Worker:
    """Ends every lane well but those named, and remembers the order and how many ran at once."""

    def __init__(self, failing: tuple[str, ...] = ()) -> None:
        self.failing = failing
        self.order: list[str] = []
        self.most: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, lane: Lane, _: Parking | None) -> bool:
        with self._lock:
            self.order.append(lane.key)
            for group in ("", lane.group):
                self._now[group] += 1
                self.most[group] = max(self.most[group], self._now[group])
        threading.Event().wait(0.005)
        with self._lock:
            for group in ("", lane.group):
                self._now[group] -= 1
        return lane.key not in self.failing


def run(lanes: list[Lane], worker: Worker, limits: Limits | None = None) -> Worker:
    Coordinator(STAGES, limits or Limits(), threading.Event()).run(lanes, worker)
    return worker


def test_stages_are_barriers() -> None:
    order = run([lane("s", "sweep"), lane("w1"), lane("w2"), lane("g", "gate")], Worker()).order
    assert order[0] == "g"
    assert order[-1] == "s"


def test_a_gate_that_fails_stops_what_is_behind_it() -> None:
    assert run([lane("g", "gate"), lane("w"), lane("s", "sweep")], Worker(("g",))).order == ["g"]


def test_a_lane_that_fails_stops_nobody_else() -> None:
    order = run([lane("a"), lane("b", after=("a",)), lane("s", "sweep")], Worker(("a",))).order
    assert order == ["a", "b", "s"]


def test_dependencies_and_priorities() -> None:
    lanes = [lane("late", priority=9), lane("web", after=("db",)), lane("soon", priority=-1), lane("db", priority=5)]
    assert run(lanes, Worker(), Limits(lanes=1)).order == ["soon", "db", "web", "late"]


def test_room_in_all_and_in_a_group() -> None:
    lanes = [lane(f"{group}{number}", group=group) for group in ("c1", "c2", "c3") for number in range(8)]
    most = run(lanes, Worker(), Limits(lanes=5, group=2)).most
    assert most[""] <= 10  # counted twice: once for all, once for the group
    assert all(0 < most[group] <= 2 for group in ("c1", "c2", "c3"))


def test_what_breaks_the_process_ends_the_run_after_those_under_way() -> None:
    ended: list[str] = []

    def work(lane: Lane, _: Parking | None) -> bool:
        if lane.key == "bad":
            raise StoreError("the disk is full")
        ended.append(lane.key)
        return True

    with pytest.raises(StoreError, match="disk is full"):
        Coordinator(STAGES, Limits(lanes=1), threading.Event()).run([lane("a"), lane("bad"), lane("never")], work)
    assert ended == ["a"]


def test_stopping_begins_nothing_more() -> None:
    stop = threading.Event()
    seen: list[str] = []

    def work(lane: Lane, _: Parking | None) -> bool:
        seen.append(lane.key)
        stop.set()
        return True

    Coordinator(STAGES, Limits(lanes=1), stop).run([lane("a"), lane("b"), lane("s", "sweep")], work)
    assert seen == ["a"]


def test_a_revert_takes_the_last_lane_first_and_dependencies_the_other_way_round() -> None:
    planned = [lane("db"), lane("app", after=("db",)), lane("web", after=("app", "db")), lane("alone")]
    turned = backwards(planned)
    assert [found.key for found in turned] == ["alone", "web", "app", "db"]
    assert {found.key: found.after for found in turned} == {
        "db": ["app", "web"],
        "app": ["web"],
        "web": [],
        "alone": [],
    }


def test_a_lane_that_no_longer_burdens_its_host_makes_room_for_the_next() -> None:
    """The second begins while the first is still under way, which has to see that before it ends."""
    limits, second = Limits(lanes=5, group=1), threading.Event()
    coordinator = Coordinator(STAGES, limits, threading.Event())

    def work(found: Lane) -> bool:
        if found.key == "second":
            second.set()
            return True
        coordinator.make_room(found)
        return second.wait(10)

    ended: list[bool] = []
    lanes = [lane("first", group="c1"), lane("second", group="c1")]
    coordinator.run(lanes, lambda found, _: ended.append(work(found)) or ended[-1])
    assert ended == [True, True]


class Sleeper:
    """Parks every lane once; remembers which were begun, and which were woken and by what."""

    def __init__(self) -> None:
        self.parked: dict[str, Future[list[Any]]] = {}
        self.log: list[str] = []

    def __call__(self, lane: Lane, woken: Parking | None) -> bool | Parking:
        if woken is None:
            self.log.append(f"begin {lane.key}")
            self.parked[lane.key] = Future()
            return Parking("wait", "now", self.parked[lane.key])
        self.log.append(f"woken {lane.key}")
        return woken.over.exception() is None

    def wake(self, key: str, error: BaseException | None = None) -> None:
        self.parked[key].set_exception(error) if error else self.parked[key].set_result([])

    def has_parked(self, *keys: str) -> None:
        until(lambda: set(self.parked) == set(keys), f"{', '.join(keys)} are parked and no other lane is")


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as found:
        yield found


def coordinated(
    pool: ThreadPoolExecutor, work: Sleeper, limits: Limits, *lanes: Lane, stop: threading.Event | None = None
) -> "Future[None]":
    return pool.submit(Coordinator(STAGES, limits, stop or threading.Event()).run, list(lanes), work)


def test_a_parked_lane_gives_its_thread_to_the_next(background: ThreadPoolExecutor) -> None:
    """Three of three wait at the same time, with one thread; they go on in the order in which they are woken."""
    work = Sleeper()
    over = coordinated(background, work, Limits(lanes=3, threads=1), lane("a"), lane("b"), lane("c"))
    work.has_parked("a", "b", "c")
    for key in ("b", "c", "a"):
        work.wake(key)
        until(lambda key=key: work.log[-1] == f"woken {key}", f"{key} goes on")  # type: ignore[misc]
    over.result(10)
    assert work.log == ["begin a", "begin b", "begin c", "woken b", "woken c", "woken a"]


def test_a_parked_lane_is_under_way(background: ThreadPoolExecutor) -> None:
    """Of its group as of all: what it began at the cloud goes on."""
    work = Sleeper()
    lanes = lane("a", group="c1"), lane("b", group="c1"), lane("c", group="c2"), lane("d", group="c3")
    over = coordinated(background, work, Limits(lanes=2, group=1), *lanes)
    work.has_parked("a", "c")
    work.wake("a")
    work.has_parked("a", "b", "c")
    work.wake("c")
    work.has_parked("a", "b", "c", "d")
    for key in ("b", "d"):
        work.wake(key)
    over.result(10)


def test_what_ended_a_wait_is_handed_on_to_its_lane(background: ThreadPoolExecutor) -> None:
    work = Sleeper()
    lanes = lane("a"), lane("b", after=("a",)), lane("s", "sweep")
    over = coordinated(background, work, Limits(), *lanes)
    for key in ("a", "b", "s"):
        until(lambda key=key: key in work.parked, f"{key} is parked")  # type: ignore[misc]
        work.wake(key, NeedsHands("it is late") if key == "a" else None)
    over.result(10)
    assert work.log == ["begin a", "woken a", "begin b", "woken b", "begin s", "woken s"]


def test_one_that_is_parked_when_the_run_drains_goes_on_to_its_end(background: ThreadPoolExecutor) -> None:
    work, drain = Sleeper(), threading.Event()
    over = coordinated(background, work, Limits(lanes=1), lane("a"), lane("b"), stop=drain)
    work.has_parked("a")
    drain.set()
    work.wake("a")
    over.result(10)
    assert work.log == ["begin a", "woken a"]


def test_one_that_is_stopped_while_it_is_parked_is_not_executed(background: ThreadPoolExecutor) -> None:
    work = Sleeper()
    over = coordinated(background, work, Limits(), lane("a"), lane("b"), lane("s", "sweep"))
    work.has_parked("a", "b")
    for key in ("a", "b"):
        work.wake(key, Stopped("asked to"))
    assert isinstance(over.exception(10), Stopped)
    assert work.log == ["begin a", "begin b"]
