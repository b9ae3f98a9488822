"""The C library's memory, for a program of a thousand threads of which one runs at a time."""

import contextlib
import ctypes

# From glibc's malloc.h.
_M_ARENA_MAX = -8


def one_heap() -> None:
    """Have glibc serve all threads from one heap; elsewhere, nothing.

    It makes up to eight heaps for each core, so that threads need not wait for one another, and what is free in one
    serves no thread of another: a tenth of what a large recovery takes.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
