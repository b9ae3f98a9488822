"""How to wait before something is tried again: the engine says it, the clients ask it.

A client that tries a call again knows nothing of runs. Meanwhile an operator may stop the run, or another process take
it over: whoever works on it says here how the clients in its thread wait, and raises what ends that.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

# What is given: seconds.
Pause = Callable[[float], None]
_LOOK: ContextVar[Pause] = ContextVar("look", default=time.sleep)
_EFFECT: ContextVar[Pause] = ContextVar("effect", default=time.sleep)


@contextlib.contextmanager
def pausing_by(look: Pause, effect: Pause) -> Iterator[None]:
    """Have what is tried in this block wait by these: before another ``look``, and before another try of an effect."""
    before = _LOOK.set(look), _EFFECT.set(effect)
    try:
        yield
    finally:
        _LOOK.reset(before[0])
        _EFFECT.reset(before[1])


def before_a_look(seconds: float) -> None:
    """Wait before something is read again; raises whatever ends that."""
    _LOOK.get()(seconds)


def before_an_effect(seconds: float) -> None:
    """Wait before an effect that was refused is tried again; what this raises forbids the try."""
    _EFFECT.get()(seconds)
