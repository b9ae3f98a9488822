"""A procedure's parameters: declared once, checked before anything else happens."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackmend.errors import BadInput

_TRUE = frozenset(["true", "yes", "on", "1"])
_FALSE = frozenset(["false", "no", "off", "0"])


@dataclass(frozen=True)
class Parameter:
    """One parameter. ``kind``: str, int, float or bool; ``many``: may be given more than once."""

    name: str
    help: str
    kind: type = str
    default: Any = None
    many: bool = False
    positional: bool = False
    least: float | None = None

    def parse(self, given: Any) -> Any:
        """The value of what was given (text from a command line, or JSON). Raises BadInput."""
        if self.many:
            values = given if isinstance(given, list | tuple) else [given]
            return [self._one(value) for value in values]
        if isinstance(given, list | tuple):
            if len(given) != 1:
                raise BadInput(f"parameter {self.name} takes one value, not {len(given)}")
            given = given[0]
        return self._one(given)

    def _one(self, given: Any) -> Any:
        value = self._converted(given)
        if self.least is not None and value < self.least:
            raise BadInput(f"parameter {self.name} must be {self.least:g} or more, not {given}")
        return value

    def _converted(self, given: Any) -> Any:
        if isinstance(given, bool) and self.kind is not bool:
            raise BadInput(f"parameter {self.name} takes {_kind_name(self.kind)}, not {str(given).lower()}")
        if isinstance(given, self.kind):
            return given
        text = str(given).strip()
        if self.kind is bool and text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        try:
            if self.kind in (int, float) and math.isfinite(value := self.kind(text)):
                return value
        except (ValueError, OverflowError):
            pass
        raise BadInput(f"parameter {self.name} takes {_kind_name(self.kind)}, not {text!r}")


def parse(procedure: str, declared: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every declared parameter with its value, defaults filled in. Raises BadInput naming what is wrong."""
    known = {parameter.name: parameter for parameter in declared}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(sorted(known)) or 'none'}"
            raise BadInput(f"{procedure} has no parameter {name}; {hint}")
    values = {}
    for name, parameter in known.items():
        if given.get(name) is not None:
            values[name] = parameter.parse(given[name])
        elif parameter.positional and parameter.default is None:
            raise BadInput(f"{procedure} needs its {name.upper()}: `stackmend procedure show {procedure}` explains it")
        else:
            values[name] = [] if parameter.many and parameter.default is None else parameter.default
    return values


def _kind_name(kind: type) -> str:
    return {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[kind]
