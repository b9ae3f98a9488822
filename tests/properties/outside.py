"""What may come from outside: any JSON or YAML, and real data with something of it wrong."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from stackmend.engine.plan import digest_of

Path = tuple[Any, ...]
# Values that have broken parsers elsewhere: of another kind, huge, no number, no Unicode, no time, no single line.
ODD = (
    *(None, True, 0, -1, 1.5, 10**400, float("nan"), float("inf"), "", "\0", "\ud800", "a\nb", "1e999", "\u0660"),
    *([], {}, [None], {"a": None}, [[[]]], "x" * 300, {"": ""}),
)
odd = st.sampled_from(ODD)
anything = st.recursive(
    odd | st.text(max_size=8) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(data: Any, at: Path = ()) -> Iterator[Path]:
    """The path to every value inside ``data``."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, value in inner:
        yield (*at, name)
        yield from places(value, (*at, name))


def with_value(data: Any, at: Path, value: Any) -> Any:
    """A copy of ``data`` that holds ``value`` there."""
    return _changed(data, at, lambda holder, name: holder.__setitem__(name, copy.deepcopy(value)))


def without(data: Any, at: Path) -> Any:
    """A copy of ``data`` without what is there."""
    return _changed(data, at, lambda holder, name: holder.__delitem__(name))


def _changed(data: Any, at: Path, change: Any) -> Any:
    new = copy.deepcopy(data)
    holder = new
    for name in at[:-1]:
        holder = holder[name]
    change(holder, at[-1])
    return new


def mutated(data: Any) -> st.SearchStrategy[Any]:
    """``data`` with one or two of its values missing, or odd ones in their place."""
    return once(data).flatmap(lambda new: st.just(new) | once(new))


def once(data: Any) -> st.SearchStrategy[Any]:
    """``data`` with one of its values missing, or an odd one in its place."""
    found = list(places(data))
    if not found:
        return st.just(data)
    at = st.sampled_from(found)
    return at.map(lambda path: without(data, path)) | st.builds(with_value, st.just(data), at, odd)


def forged(data: Any) -> Any:
    """Mutated data, with the digest that a forger would give it."""
    if not isinstance(data, dict):
        return data
    try:
        return {**data, "digest": digest_of(data)}
    except (ValueError, TypeError):
        return data


def written(data: Any) -> str:
    """It as a JSON file may hold it, wrong text and numbers too."""
    return json.dumps(data)
