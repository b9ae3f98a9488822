"""What stackmend's engine costs: whole runs of trivial lanes, and the resuming of a half-done one.

The store is what an operator gets: a SQLite file, WAL, synchronous=FULL.
"""

import threading
import time
from pathlib import Path

from bench import trivial
from bench.measured import Measured
from stackmend.engine import runs, status
from stackmend.engine.status import LaneStatus
from stackmend.engine.store import Store


def reading(lanes: int, directory: Path) -> Measured:
    """A run of steps that only look."""
    return _whole_run(trivial.READING, lanes, directory)


def acting(lanes: int, directory: Path) -> Measured:
    """A run of steps that act: an intent, an answer and a result to save for each."""
    return _whole_run(trivial.ACTING, lanes, directory)


def leave_half_done(lanes: int, directory: Path) -> None:
    """Begin a run of acting lanes and stop it once half of them have ended."""
    trivial.install()
    store = _store(directory)
    run_id = trivial.stored_run(store, trivial.ACTING, lanes)
    stop, ended = threading.Event(), []

    def told(lane: LaneStatus) -> None:
        ended.append(lane.key)
        if len(ended) >= lanes // 2:
            stop.set()

    session = runs.Session({"world": trivial.World()}, trivial.CLOUD, stop=stop, told=told)
    assert runs.execute(store, run_id, session) is None


def resuming(lanes: int, directory: Path) -> Measured:
    """Resume what ``leave_half_done`` left: until a step first looks at its target, and to the end."""
    trivial.install()
    world = trivial.World()
    cpu, began = time.process_time(), time.monotonic()
    store = _store(directory)
    run_id = store.find("last")
    left = sum(lane.state != status.DONE for lane in store.lanes(store.run(run_id)))
    assert runs.execute(store, run_id, runs.Session({"world": world}, trivial.CLOUD)) == status.DONE
    assert world.first is not None
    return Measured.now(left * trivial.STEPS, cpu, began, first_step=world.first - began)


def _whole_run(kind: str, lanes: int, directory: Path) -> Measured:
    trivial.install()
    store = _store(directory)
    before = time.process_time()
    run_id = trivial.stored_run(store, kind, lanes)
    cpu, began = time.process_time(), time.monotonic()
    session = runs.Session({"world": trivial.World()}, trivial.CLOUD)
    assert runs.execute(store, run_id, session) == status.DONE
    return Measured.now(lanes * trivial.STEPS, cpu, began, plan_cpu=cpu - before)


def _store(directory: Path) -> Store:
    return Store(f"sqlite:///{directory}/runs.sqlite")
