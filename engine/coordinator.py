"""The coordinator: which lane may begin now, and nothing else.

Stages are barriers; inside a stage a lane begins when the lanes it comes after have ended, well or not, and
when there is room: in all, and in its group (a host boots only so many guests at once; one that has booted, and has
only to be proved, makes room for the next). Lanes that could begin do so by priority, then in the plan's order. A lane
that only waits is parked: it gives its thread to another, and goes on before others begin. One lane's failure is that
lane's alone, unless its stage is a gate.
"""

import contextlib
import functools
import heapq
import queue
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from stackmend.engine.parking import Parking
from stackmend.engine.plan import Lane, Stage

# A lane's thread mostly waits, for an answer or a commit; a small stack keeps hundreds of them cheap.
_STACK_BYTES = 512 * 1024
Work = Callable[[Lane, Parking | None], bool | Parking]


@dataclass(frozen=True)
class Limits:
    """How many lanes at once: in all, in one group (one host), and how many that are not parked (``threads``)."""

    lanes: int = 64
    group: int = 8
    threads: int = 256


@contextlib.contextmanager
def small_stacks() -> Iterator[None]:
    """Threads that begin while the block lasts have small stacks."""
    before = threading.stack_size(_STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(before)


def backwards(lanes: Sequence[Lane]) -> list[Lane]:
    """The lanes as a revert takes them: the last first, each after those that had come after it."""
    followers: dict[str, list[str]] = defaultdict(list)
    for lane in lanes:
        for key in lane.after:
            followers[key].append(lane.key)
    return [replace(lane, after=followers[lane.key]) for lane in reversed(lanes)]


class Coordinator:
    """Runs ``work`` for lanes, stage by stage.

    ``work(lane, woken)`` returns whether the lane ended well, or what it is to be parked for: it is then called
    again, ``woken`` by that, once it has come. What it raises ends the whole: no further lane begins, those under way
    are waited for, and the first exception is raised. Once one of ``stops`` is set no lane begins either.
    """

    def __init__(self, stages: Sequence[Stage], limits: Limits, *stops: threading.Event) -> None:
        self._stages = stages
        self._limits = limits
        self._stops = stops
        # What has become of lanes, to be noted in the coordinator's own thread.
        self._news: queue.SimpleQueue[Callable[[_Course], None]] = queue.SimpleQueue()

    def make_room(self, lane: Lane) -> None:
        """The lane, which is under way, no longer burdens its group; to be called from within ``work``."""
        self._news.put(lambda course: course.make_room(lane))

    def run(self, lanes: Iterable[Lane], work: Work) -> None:
        """Run the lanes. Returns when all have ended, a gate has failed, or it was stopped."""
        by_stage: dict[str, list[Lane]] = defaultdict(list)
        for lane in lanes:
            by_stage[lane.stage].append(lane)
        threads = min(self._limits.lanes, self._limits.threads)
        with small_stacks(), ThreadPoolExecutor(threads, thread_name_prefix="stackmend-lane") as pool:
            for stage in self._stages:
                ended_well = self._run_stage(by_stage[stage.name], work, pool)
                if self._stopped() or (stage.gate and not ended_well):
                    return

    def _stopped(self) -> bool:
        return any(stop.is_set() for stop in self._stops)

    def _run_stage(self, lanes: Sequence[Lane], work: Work, pool: ThreadPoolExecutor) -> bool:
        course = _Course(lanes, self._limits)
        while True:
            while (found := course.next(self._stopped())) is not None:
                pool.submit(work, *found).add_done_callback(functools.partial(self._worked, found[0]))
            if not course.under_way:
                break
            self._news.get()(course)
        if course.failure is not None:
            raise course.failure
        return course.all_well

    def _worked(self, lane: Lane, future: "Future[bool | Parking]") -> None:
        error = future.exception()
        outcome = False if error is not None else future.result()
        self._news.put(lambda course: course.worked(lane, outcome, error))
        if isinstance(outcome, Parking):
            outcome.over.add_done_callback(lambda _: self._news.put(lambda course: course.wake(lane, outcome)))


class _Course:
    """How far the lanes of one stage are: those to begin, those that have a thread, those that are parked."""

    def __init__(self, lanes: Sequence[Lane], limits: Limits) -> None:
        self._to_begin = _Admission(lanes, limits)
        self._to_go_on: deque[tuple[Lane, Parking]] = deque()
        self._threads = limits.threads
        self.under_way = 0
        self.failure: BaseException | None = None
        self.all_well = True

    def next(self, stopped: bool) -> tuple[Lane, Parking | None] | None:
        """The lane to give a thread now, with what it was parked for; None while there is none or no room."""
        if not self._threads:
            return None
        if self._to_go_on:
            self._threads -= 1
            return self._to_go_on.popleft()
        if stopped or self.failure is not None or (lane := self._to_begin.next()) is None:
            return None
        self._threads -= 1
        self.under_way += 1
        return lane, None

    def make_room(self, lane: Lane) -> None:
        """A lane no longer burdens its group."""
        self._to_begin.make_room(lane)

    def worked(self, lane: Lane, outcome: bool | Parking, error: BaseException | None) -> None:
        """A lane has given its thread back: it has ended, or it is parked."""
        self._threads += 1
        if not isinstance(outcome, Parking):
            self._ended(lane, outcome, error)

    def wake(self, lane: Lane, parking: Parking) -> None:
        """What a lane was parked for has come."""
        error = parking.over.exception()
        if error is None or isinstance(error, Exception):
            self._to_go_on.append((lane, parking))
        else:
            # The run was stopped: what its step would do with that is to pass it on.
            self._ended(lane, well=False, error=error)

    def _ended(self, lane: Lane, well: bool, error: BaseException | None) -> None:
        self.under_way -= 1
        self._to_begin.ended(lane)
        self.failure = self.failure or error
        self.all_well = self.all_well and well


class _Admission:
    """The lanes of one stage that have not begun, and the room there is."""

    def __init__(self, lanes: Sequence[Lane], limits: Limits) -> None:
        keys = {lane.key for lane in lanes}
        self._limits = limits
        self._position = {lane.key: (lane.priority, number) for number, lane in enumerate(lanes)}
        self._waits_for = {lane.key: {key for key in lane.after if key in keys} for lane in lanes if lane.after}
        self._followers: Mapping[str, list[Lane]] = defaultdict(list)
        self._ready: dict[str, list[tuple[tuple[int, int], Lane]]] = defaultdict(list)
        self._busy: dict[str, set[str]] = defaultdict(set)
        self._free = limits.lanes
        for lane in lanes:
            earlier = self._waits_for.get(lane.key, ())
            for key in earlier:
                self._followers[key].append(lane)
            if not earlier:
                self._make_ready(lane)

    def next(self) -> Lane | None:
        """The lane to begin now, or None while there is none or no room."""
        if not self._free:
            return None
        groups = [group for group, ready in self._ready.items() if ready and self._room(group)]
        if not groups:
            return None
        group = min(groups, key=lambda name: self._ready[name][0][0])
        _, lane = heapq.heappop(self._ready[group])
        self._free -= 1
        self._busy[group].add(lane.key)
        return lane

    def make_room(self, lane: Lane) -> None:
        """A lane no longer burdens its group."""
        self._busy[lane.group].discard(lane.key)

    def ended(self, lane: Lane) -> None:
        """A lane has ended: there is room again, and those that come after it may be ready."""
        self.make_room(lane)
        self._free += 1
        for follower in self._followers.get(lane.key, ()):
            self._waits_for[follower.key].discard(lane.key)
            if not self._waits_for[follower.key]:
                self._make_ready(follower)

    def _make_ready(self, lane: Lane) -> None:
        heapq.heappush(self._ready[lane.group], (self._position[lane.key], lane))

    def _room(self, group: str) -> bool:
        return not group or len(self._busy[group]) < self._limits.group
