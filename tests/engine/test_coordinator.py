"""Which lane begins when: stages, dependencies, priorities, room; and what one lane's end means for others."""

import threading
from collections import Counter

import pytest

from stackmend.engine.coordinator import Coordinator, Limits, backwards
from stackmend.engine.plan import Lane, Stage
from stackmend.errors import StoreError

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

    def __call__(self, lane: Lane) -> bool:
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

    def work(lane: Lane) -> bool:
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

    def work(lane: Lane) -> bool:
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
    coordinator.run(lanes, lambda found: ended.append(work(found)) or ended[-1])
    assert ended == [True, True]
