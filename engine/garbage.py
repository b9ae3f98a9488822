"""Python's garbage collector, told how little a run of many lanes leaves behind.

A lane's engine breaks its circles when it has run (LaneEngine.let_go). At its usual threshold the collector would all
the same walk through what is young some times for each lane, and all of a big plan every so often: a tenth of what a
lane costs. Letting more gather costs a few megabytes.
"""

import contextlib
import gc
from collections.abc import Iterator

_YOUNG_OBJECTS = 10_000


@contextlib.contextmanager
def fewer_walks() -> Iterator[None]:
    """Let garbage gather up to ten thousand objects for as long as the block, or the function it decorates, lasts."""
    before = gc.get_threshold()
    gc.set_threshold(max(_YOUNG_OBJECTS, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextlib.contextmanager
def no_walks() -> Iterator[None]:
    """Collect nothing while the block, or the function it decorates, reads or makes what is kept.

    A plan of thousands of servers is millions of objects, none of them garbage: to walk them again and again while they
    come takes longer than to make them.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
