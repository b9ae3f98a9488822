"""Python's garbage collector, told how much a run of many lanes leaves behind.

TaskFlow's engines are full of reference cycles, so each lane that ends leaves some thousand objects that only
the collector can free. At its usual threshold it walks all of a big plan every dozen lanes: a third of what
10,000 lanes cost. Collecting as much in fewer walks costs a few megabytes and makes a lane's price the same
however many there are (doc/bench-engine.md).
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
