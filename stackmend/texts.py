"""Each text once: what thousands of rows say in the same words need not be in memory thousands of times."""

import sys
from typing import Any


def once(value: Any) -> Any:
    """The same JSON value; texts that are equal, in it and in others given here, are one object."""
    if type(value) is str:
        return sys.intern(value)
    if isinstance(value, list):
        return [once(item) for item in value]
    if isinstance(value, dict):
        return {once(name): once(item) for name, item in value.items()}
    return value
