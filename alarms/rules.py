"""Rules: which alarm starts what, for an operator to write and for a machine to follow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stackmend.alarms.alarm import FIRING, Alarm
from stackmend.engine import parameters, procedures
from stackmend.errors import BadInput

RUN, MISTRAL = "run", "mistral"
NEEDED, NOT_NEEDED = "needed", "not"
_LONGEST_TARGET = 200
_LONGEST_NAME = 64
_FIELDS = ("name", "id", "host", "severity")
_NAMES = (*_FIELDS, "source", "at", "key")
_HOLE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Rule:
    """One rule, as the file says it: see doc/guide/alarms.md. Seconds: ``quiet``, ``wait``, ``brake``'s ``seconds``."""

    name: str = ""
    source: tuple[str, ...] = ()
    match: Mapping[str, Any] = field(default_factory=dict)
    start: str = RUN
    procedure: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    approval: str = NEEDED
    workflow: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    wait: float = 0.0
    quiet: float = 600.0
    brake: Mapping[str, Any] = field(default_factory=dict)

    @property
    def starts(self) -> str:
        """The procedure's name, or the workflow's."""
        return self.procedure if self.start == RUN else self.workflow

    def matched(self, alarm: Alarm) -> dict[str, str] | None:
        """What the rule's expressions found in an alarm that it is for, by their groups' names; else None."""
        if alarm.state != FIRING or (self.source and alarm.source not in self.source):
            return None
        found: dict[str, str] = {}
        for name, wanted in self.match.items():
            groups = _fits(wanted, _value(alarm, name))
            if groups is None:
                return None
            found |= groups
        return found


@dataclass(frozen=True)
class Start:
    """What an alarm starts: ``target`` is what is recovered, ``what`` is Mistral's input or the run's parameters."""

    rule: Rule
    target: str
    alarm: Alarm
    groups: Mapping[str, str]

    def order(self, key: str) -> dict[str, Any]:
        """As JSON, under the incident's ``key``. Raises BadInput where a text has nothing to be filled with."""
        given = self.rule.parameters if self.rule.start == RUN else self.rule.input
        filled = {name: self._filled(value, key) for name, value in given.items()}
        if self.rule.start == MISTRAL:
            return {"start": MISTRAL, "workflow": self.rule.workflow, "input": filled}
        approved = self.rule.approval == NOT_NEEDED
        return {"start": RUN, "procedure": self.rule.procedure, "parameters": filled, "approved": approved}

    def _filled(self, value: Any, key: str) -> Any:
        if isinstance(value, list):
            return [self._filled(item, key) for item in value]
        if isinstance(value, dict):
            return {name: self._filled(item, key) for name, item in value.items()}
        return _filled(value, self.alarm, {**self.groups, "key": key}) if isinstance(value, str) else value


def first(rules: list[Rule], alarm: Alarm) -> Start | None:
    """What the first rule that is for an alarm starts. Raises BadInput where its key can't be filled."""
    for rule in rules:
        groups = rule.matched(alarm)
        if groups is not None:
            named = replace(alarm, host=groups.get("host", alarm.host))
            pattern = rule.key or f"{rule.starts}/{'{host}' if named.host else '{id}'}"
            target = _filled(pattern, named, groups)
            if len(target) > _LONGEST_TARGET:
                raise BadInput(f"rule {rule.name}: the key {target[:40]}... has more than {_LONGEST_TARGET} characters")
            return Start(rule, target, named, groups)
    return None


def check(rule: Rule, where: str) -> None:
    """Raise BadInput for a rule that can't work, naming it by ``where``."""
    for name, wanted in rule.match.items():
        if name not in _FIELDS and not str(name).startswith("label."):
            raise BadInput(
                f"{where} matches {name}, which no alarm has: it is one of {', '.join(_FIELDS)} or label.NAME"
            )
        _check_wanted(wanted, f"{where} matches {name}")
    if len(rule.name) > _LONGEST_NAME:
        raise BadInput(f"{where} has a name of more than {_LONGEST_NAME} characters")
    if rule.approval not in (NEEDED, NOT_NEEDED):
        raise BadInput(f"{where} says approval: {rule.approval}, which is neither {NEEDED} nor {NOT_NEEDED}")
    if rule.start not in (RUN, MISTRAL):
        raise BadInput(f"{where} says start: {rule.start}, which is neither {RUN} nor {MISTRAL}")
    if rule.brake and (set(rule.brake) != {"most", "seconds"} or not all(map(_counts, rule.brake.values()))):
        raise BadInput(f"{where} has a brake that can't hold: write brake: {{most: 3, seconds: 3600}}")
    (_check_run if rule.start == RUN else _check_workflow)(rule, where)
    for value in (rule.key, *_texts(rule.parameters), *_texts(rule.input)):
        _check_holes(value, rule, where)


def _check_run(rule: Rule, where: str) -> None:
    if not rule.procedure or rule.workflow or rule.input:
        raise BadInput(f"{where} must name a procedure, and its parameters; a workflow has start: {MISTRAL}")
    declared = {item.name: item for item in procedures.named(rule.procedure).parameters}
    fixed = {name: value for name, value in rule.parameters.items() if not any(map(_HOLE.search, _texts(value)))}
    for name in rule.parameters:
        if name not in declared:
            raise BadInput(f"{where}: {rule.procedure} has no parameter {name}; it has: {', '.join(sorted(declared))}")
    for item in declared.values():
        if item.name in fixed:
            item.parse(fixed[item.name])
        elif item.positional and item.default is None and item.name not in rule.parameters:
            parameters.parse(rule.procedure, [item], {})


def _check_workflow(rule: Rule, where: str) -> None:
    if not rule.workflow or rule.procedure or rule.parameters:
        raise BadInput(f"{where} starts Mistral: it must name a workflow, and its input")


def _check_wanted(wanted: Any, where: str) -> None:
    if isinstance(wanted, str) or (isinstance(wanted, list) and all(isinstance(item, str) for item in wanted)):
        return
    if not isinstance(wanted, dict) or list(wanted) != ["regex"] or not isinstance(wanted["regex"], str):
        raise BadInput(f"{where} with no text (in quotes), list of texts or {{regex: ...}}: {wanted!r}")
    try:
        re.compile(wanted["regex"])
    except re.error as error:
        raise BadInput(f"{where} with an expression that is none: {error}") from None


def _check_holes(value: str, rule: Rule, where: str) -> None:
    groups = {group for wanted in rule.match.values() if isinstance(wanted, dict) for group in _groups(wanted)}
    for name in _HOLE.findall(value):
        if name not in (*_NAMES, *groups) and not name.startswith("label."):
            known = ", ".join([*_NAMES, *sorted(groups)])
            raise BadInput(f"{where} would fill in {{{name}}}, which is unknown; known are label.NAME, {known}")


def _groups(wanted: Mapping[str, str]) -> list[str]:
    return list(re.compile(wanted["regex"]).groupindex)


def _counts(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping | list):
        inner = value.values() if isinstance(value, Mapping) else value
        return [text for item in inner for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _fits(wanted: Any, value: str) -> dict[str, str] | None:
    if isinstance(wanted, dict):
        found = re.fullmatch(wanted["regex"], value)
        return None if found is None else {name: text or "" for name, text in found.groupdict().items()}
    return {} if value in (wanted if isinstance(wanted, list) else [wanted]) else None


def _value(alarm: Alarm, name: str) -> str:
    if name.startswith("label."):
        return alarm.labels.get(name.removeprefix("label."), "")
    return str(getattr(alarm, name))


def _filled(pattern: str, alarm: Alarm, groups: Mapping[str, str]) -> str:
    """``pattern`` with each {NAME} replaced. Raises BadInput where the alarm says nothing of it."""

    def fill(hole: re.Match[str]) -> str:
        name = hole.group(1)
        value = groups.get(name) or (_value(alarm, name) if name in _NAMES or name.startswith("label.") else "")
        if not value:
            raise BadInput(f"the alarm says nothing of {{{name}}}, which {pattern!r} needs")
        return value

    return _HOLE.sub(fill, pattern)
