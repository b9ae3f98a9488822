"""The coordinator: which lane may begin now, and nothing else.

Stages are barriers; inside a stage a lane begins when the lanes it comes after have ended, well or not, and
when there is room: in all, and in its group (a host boots only so many guests at once; one that has booted, and has
only to be proved, makes room for the next). Lanes that could begin do so by priority, then in the plan's order. One
lane's failure is that lane's alone, unless its stage is a gate.
"""

import contextlib
import functools
import heapq
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from stackmend.engine.plan import Lane, Stage

# Each lane in flight is a thread that mostly waits; a small stack keeps hundreds of them cheap.
_STACK_BYTES = 512 * 1024


@dataclass(frozen=True)
class Limits:
    """How many lanes at once: in all, and in one group (one host)."""

    lanes: int = 64
    group: int = 8


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

    ``work(lane)`` returns whether the lane ended well; what it raises ends the whole: no further lane
    begins, those under way are waited for, and the first exception is raised. Once one of ``stops`` is set no lane
    begins either.
    """

    def __init__(self, stages: Sequence[Stage], limits: Limits, *stops: threading.Event) -> None:
        self._stages = stages
        self._limits = limits
        self._stops = stops
        # What the lanes under way tell: their end, or without one that their group has room again.
        self._news: queue.SimpleQueue[tuple[Lane, Future[bool] | None]] = queue.SimpleQueue()

    def make_room(self, lane: Lane) -> None:
        """The lane, which is under way, no longer burdens its group; to be called from within ``work``."""
        self._news.put((lane, None))

    def run(self, lanes: Iterable[Lane], work: Callable[[Lane], bool]) -> None:
        """Run the lanes. Returns when all have ended, a gate has failed, or it was stopped."""
        by_stage: dict[str, list[Lane]] = defaultdict(list)
        for lane in lanes:
            by_stage[lane.stage].append(lane)
        with small_stacks(), ThreadPoolExecutor(self._limits.lanes, thread_name_prefix="stackmend-lane") as pool:
            for stage in self._stages:
                ended_well = self._run_stage(by_stage[stage.name], work, pool)
                if self._stopped() or (stage.gate and not ended_well):
                    return

    def _stopped(self) -> bool:
        return any(stop.is_set() for stop in self._stops)

    def _run_stage(self, lanes: Sequence[Lane], work: Callable[[Lane], bool], pool: ThreadPoolExecutor) -> bool:
        admission = _Admission(lanes, self._limits)
        under_way = 0
        failure: BaseException | None = None
        all_well = True
        while True:
            while failure is None and not self._stopped() and (lane := admission.next()) is not None:
                pool.submit(work, lane).add_done_callback(functools.partial(self._ended, lane))
                under_way += 1
            if not under_way:
                break
            lane, ended = self._news.get()
            admission.make_room(lane)
            if ended is not None:
                under_way -= 1
                admission.ended(lane)
                failure = failure or ended.exception()
                all_well = all_well and ended.exception() is None and ended.result()
        if failure is not None:
            raise failure
        return all_well

    def _ended(self, lane: Lane, future: Future[bool]) -> None:
        self._news.put((lane, future))


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
        """A lane has ended: there is room again in all, and those that come after it may be ready."""
        self._free += 1
        for follower in self._followers.get(lane.key, ()):
            self._waits_for[follower.key].discard(lane.key)
            if not self._waits_for[follower.key]:
                self._make_ready(follower)

    def _make_ready(self, lane: Lane) -> None:
        heapq.heappush(self._ready[lane.group], (self._position[lane.key], lane))

    def _room(self, group: str) -> bool:
        return not group or len(self._busy[group]) < self._limits.group
