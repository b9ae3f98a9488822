"""Rules that make chosen API calls fail, lag, lose their answer or stop at an exact instant."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "refused",
    "cut-before",
    "cut-after",
    "status",
    "slow",
    "malformed",
    "hang",
    "pause-before-effect",
    "pause-after-effect",
)


@dataclass
class Rule:
    """One fault: which calls it meets (regular expressions; None meets all) and what it does to them.

    ``times`` calls are met (None: all), the first ``after`` matching ones are let pass. ``seconds`` is
    for ``slow``; ``status``, ``headers`` and ``answer`` are for ``status``. A pause blocks the call until
    the rule is released, ``hang`` too, which then closes the connection without any effect;
    ``reached`` is set when a call got there, ``lost`` makes
    a release cut the call, which then is never carried out.
    """

    id: int
    kind: str
    service: str | None = None
    method: str | None = None
    path: str | None = None
    body: str | None = None
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    answer: Any = None
    seconds: float = 0.0
    times: int | None = None
    after: int = 0
    met: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False

    def meets(self, service: str, method: str, path: str, body: str) -> bool:
        """True when this rule is about such a call, whatever its counters say."""
        wanted = ((self.service, service), (self.method, method), (self.path, path), (self.body, body))
        return all(pattern is None or re.search(pattern, value) for pattern, value in wanted)

    def take(self) -> bool:
        """Count one matching call; True when the fault happens to it."""
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None and self.met >= self.times:
            return False
        self.met += 1
        return True

    def described(self) -> dict[str, Any]:
        """The rule as the control API shows it."""
        return {"id": self.id, "kind": self.kind, "met": self.met, "reached": self.reached.is_set()}


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: dict[int, Rule] = {}
        self._next = 1

    def add(self, **given: Any) -> Rule:
        """Put a rule in force; ValueError when its kind or a field is unknown."""
        if given.get("kind") not in KINDS:
            raise ValueError(f"unknown kind of fault {given.get('kind')!r}; one of {', '.join(KINDS)}")
        try:
            rule = Rule(id=self._next, **given)
        except TypeError as error:
            raise ValueError(f"a fault rule has no such field: {error}") from error
        self._next += 1
        self._rules[rule.id] = rule
        return rule

    def get(self, rule_id: int) -> Rule:
        """The rule of that id; KeyError when there is none."""
        return self._rules[rule_id]

    def clear(self) -> None:
        """Take every rule out of force and let go of every call that one holds."""
        for rule in self._rules.values():
            rule.released.set()
        self._rules.clear()

    def described(self) -> list[dict[str, Any]]:
        """Every rule in force."""
        return [rule.described() for rule in self._rules.values()]

    def hit(self, service: str, method: str, path: str, body: str) -> Rule | None:
        """The first rule that happens to this call; counts it."""
        for rule in self._rules.values():
            if rule.meets(service, method, path, body) and rule.take():
                return rule
        return None
