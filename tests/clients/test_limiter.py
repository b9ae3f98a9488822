"""How many calls a service gets at once: more while it answers, fewer when it says no, or nothing, or takes long."""

import contextlib
import threading

import pytest
from waiting import until

from stackmend.clients.limiter import Limiter


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def together(limiter: Limiter, clock: Clock, seconds: float, *, refused: bool = False) -> int:
    """As many calls at once as are allowed, each of which takes so long; returns how many those were."""
    allowed = limiter.limit
    with contextlib.ExitStack() as calls:
        turns = [calls.enter_context(limiter.turn("GET /servers")) for _ in range(allowed)]
        clock.now += seconds
        for turn in turns:
            turn.refused = refused
    return allowed


def test_it_begins_small_and_grows_to_the_most() -> None:
    clock = Clock()
    limiter = Limiter(32, clock)
    assert [together(limiter, clock, 0.2) for _ in range(4)] == [8, 16, 32, 32]


def test_one_that_says_no_gets_half_at_once_and_grows_again_slowly() -> None:
    clock = Clock()
    limiter = Limiter(32, clock)
    for _ in range(40):
        together(limiter, clock, 0.2)
    # All of them are refused, and that is one refusal: half, not half of half of half.
    together(limiter, clock, 0.2, refused=True)
    assert limiter.limit == 16
    together(limiter, clock, 0.2)
    assert 16 <= limiter.limit <= 17
    for _ in range(40):
        together(limiter, clock, 0.2)
    assert limiter.limit == 32


def test_one_that_always_says_no_is_asked_by_one_at_a_time() -> None:
    clock = Clock()
    limiter = Limiter(32, clock)
    for _ in range(20):
        together(limiter, clock, 1.0, refused=True)
    assert limiter.limit == 1
    for _ in range(60):
        together(limiter, clock, 0.2)
    assert limiter.limit > 8


def test_answers_that_take_longer_and_longer_make_it_fewer() -> None:
    clock = Clock()
    limiter = Limiter(32, clock)
    for _ in range(40):
        together(limiter, clock, 0.2)
    for _ in range(3):
        together(limiter, clock, 4.0)
    assert 4 <= limiter.limit < 32


def test_a_slow_service_that_was_never_quicker_is_not_held_back() -> None:
    clock = Clock()
    limiter = Limiter(32, clock)
    for _ in range(40):
        together(limiter, clock, 5.0)
    assert limiter.limit == 32


@pytest.mark.parametrize("most", [1, 3])
def test_never_more_than_the_most(most: int) -> None:
    limiter = Limiter(most)
    inside, peak, lock, go = [], [], threading.Lock(), threading.Event()

    def call() -> None:
        with limiter.turn("POST /servers/ID/action"):
            with lock:
                inside.append(1)
                peak.append(len(inside))
            go.wait(10)
            with lock:
                inside.pop()

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    until(lambda: len(peak) == most, "the first calls")
    go.set()
    for thread in threads:
        thread.join(10)
    assert max(peak) <= most
    assert len(peak) == 12
