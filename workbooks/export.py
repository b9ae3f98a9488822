"""A plan as a plain Mistral workflow, for sites where Mistral itself shall drive: nothing of ours runs it.

A step is a task that acts, between one that looks whether it is done already and one that waits until it is. What only
code can prove becomes a pause, for somebody to prove it. What is lost by this, doc/guide/mistral.md tells.
"""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from stackmend.engine.plan import Lane, Plan, PlannedStep
from stackmend.errors import BadInput
from stackmend.workbooks.plain import Act, Plain, at_rest, plain

Task = dict[str, Any]


class _Plain(yaml.SafeDumper):
    """Mistral reads no aliases."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Each value is written out."""
        return True


# Looks at what was begun, and seconds between two of them.
_LOOKS, _EVERY = 180, 5
_ALWAYS = "always"
_VERIFY = "server.verify"


def workflow(plan: Plan) -> str:
    """The plan as the text of one Mistral workflow (DSL 2.0).

    Raises BadInput naming the steps that no Mistral action can take.
    """
    _check(plan)
    tasks: dict[str, Task] = {"begin": _nothing()}
    before = "begin"
    for stage in plan.stages:
        lanes = [lane for lane in plan.lanes if lane.stage == stage.name]
        if lanes and stage.hold:
            tasks[before]["on-success"].append(hold := _name(f"hold {stage.name}"))
            tasks[hold] = _pause(stage.hold, [])
            before = hold
        if lanes:
            before = _stage(tasks, before, lanes, _name(f"end of {stage.name}"))
    # Nothing comes after the last.
    del tasks[before]["on-success"]
    name = _name(f"{plan.procedure}-{plan.digest[:8]}")
    document = {"version": "2.0", name: {"description": _told(plan), "type": "direct", "tasks": _in_order(tasks)}}
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


def left_out(plan: Plan) -> list[str]:
    """The names of the steps that are needed only sometimes, and that Mistral can't take."""
    return [step.name for step in _unsayable(plan) if step.when != _ALWAYS]


def _in_order(tasks: dict[str, Task]) -> dict[str, Task]:
    """The same, each behind what leads to it."""
    found: dict[str, Task] = {}
    ahead = ["begin"]
    while ahead:
        name = ahead.pop()
        if name in found or name not in tasks:
            continue
        found[name] = tasks[name]
        ways = [way for clause in ("on-error", "on-success") for way in tasks[name].get(clause, [])]
        ahead += reversed([way if isinstance(way, str) else next(iter(way)) for way in ways])
    return found


def _check(plan: Plan) -> None:
    if not plan.lanes:
        raise BadInput("the plan has nothing to do, so there is nothing to export")
    steps = [step for step in _unsayable(plan) if step.when == _ALWAYS]
    if steps:
        named = ", ".join(step.name for step in steps[:5])
        more = f" and {len(steps) - 5} more" if len(steps) > 5 else ""
        raise BadInput(
            f"Mistral has no action for {named}{more} ({steps[0].effects[0]['text']}): let stackmend's workers run "
            f"{plan.procedure}, by the workflow stackmend.{plan.procedure}"
        )


def _unsayable(plan: Plan) -> list[PlannedStep]:
    return [step for lane in plan.lanes for step in lane.steps if not _sayable(lane, step)]


def _sayable(lane: Lane, step: PlannedStep) -> bool:
    return len(step.effects) < 2 and all(plain(effect, lane.facts) for effect in step.effects)


def _told(plan: Plan) -> str:
    out = left_out(plan)
    missing = f" Left out, as only stackmend can take them - {', '.join(out)}." if out else ""
    return f"{plan.procedure} as planned at {plan.made_at} (digest {plan.digest[:16]}).{missing}"


def _stage(tasks: dict[str, Task], before: str, lanes: Sequence[Lane], end: str) -> str:
    """The lanes of a stage, each behind those that it comes after or behind ``before``; returns what ends them all."""
    keys = {lane.key for lane in lanes}
    tasks.update({_end(lane): _nothing() for lane in lanes})
    for lane in lanes:
        begin = _name(f"begin {lane.key}")
        after = [_name(f"end {key}") for key in lane.after if key in keys]
        for earlier in after or [before]:
            tasks[earlier]["on-success"].append(begin)
        joined = {"join": "all"} if after else {}
        tasks[begin] = {**_nothing([_chain(tasks, lane)], description=lane.title), **joined}
        tasks[_end(lane)]["on-success"].append(end)
    tasks[end] = _nothing(join="all")
    return end


def _chain(tasks: dict[str, Task], lane: Lane) -> str:
    """The tasks of a lane's steps, one after the other; returns the first one's name."""
    steps = [(step, _plain(lane, step)) for step in lane.steps if _sayable(lane, step)]
    names = [*(_first(step, how) for step, how in steps), _end(lane)]
    undone: list[str] = []
    for (step, how), following in zip(steps, names[1:], strict=True):
        if how is None:
            tasks[_name(step.name)] = _pause(step.title, [following])
            continue
        if how.act and not step.undoable:
            # Beyond this nothing of the lane is taken back.
            undone = []
        _add_step(tasks, step, how, following, undone)
    return names[0]


def _add_step(tasks: dict[str, Task], step: PlannedStep, how: Plain, following: str, undone: list[str]) -> None:
    """Look, act, wait; ``undone``: the undo tasks of the lane's earlier steps, to which this one's is added."""
    name, back = _name(step.name), _back(undone, step)
    if how.act is None:
        tasks[name] = {**_waiting(how), "on-success": [following], "on-error": back}
        return
    if how.first:
        then = [{name: "<% not $.done %>"}, {following: "<% $.done %>"}]
        tasks[f"look-{name}"] = {**_asked(how.look), "publish": {"done": f"<% {how.done} %>"}, "on-success": then}
    tasks[name] = {"description": step.title, **_asked(how.act), "on-success": [f"wait-{name}"], "on-error": back}
    if how.undo is not None:
        undo = f"undo-{name}"
        tasks[undo] = {**_asked(how.undo), "on-success": back, "on-error": back}
        tasks[name]["publish"] = {undo: True}
        undone.append(undo)
    tasks[f"wait-{name}"] = {**_waiting(how), "on-success": [following], "on-error": _back(undone, step)}


def _back(undone: Sequence[str], step: PlannedStep) -> list[Any]:
    """From a failure to the undo of the last step that acted, or to the end of the workflow."""
    way: list[Any] = []
    guards: list[str] = []
    for undo in reversed(undone):
        way.append({undo: f"<% {' and '.join([*guards, f'$.get({undo!r}, false)'])} %>"})
        guards.append(f"not $.get({undo!r}, false)")
    failed = f"fail(msg='{step.name} failed, see its task')"
    return [*way, {failed: f"<% {' and '.join(guards)} %>"} if guards else failed]


def _plain(lane: Lane, step: PlannedStep) -> Plain | None:
    """How Mistral takes the step; None where somebody must look."""
    if step.effects:
        return plain(step.effects[0], lane.facts)
    if step.name.startswith(_VERIFY) and "vm_state" in lane.facts.get("wanted", {}):
        return at_rest(lane.facts["id"], lane.facts["wanted"]["vm_state"])
    return None


def _first(step: PlannedStep, how: Plain | None) -> str:
    return f"look-{_name(step.name)}" if how and how.act and how.first else _name(step.name)


def _asked(act: Act) -> Task:
    return {"action": act.action, "input": dict(act.input)}


def _waiting(how: Plain) -> Task:
    not_yet = f"<% task().state = SUCCESS and not ({how.done}) %>"
    retry = {"count": _LOOKS, "delay": _EVERY, "continue-on": not_yet}
    return {**_asked(how.look), "retry": retry, "fail-on": not_yet}


def _pause(title: str, following: list[str]) -> Task:
    told = f"The execution pauses before it. Let it run once you have seen to this - {title}"
    return _nothing(following, description=told, **{"pause-before": True})


def _nothing(following: list[str] | None = None, **more: Any) -> Task:
    return {**more, "action": "std.noop", "on-success": following or []}


def _end(lane: Lane) -> str:
    return _name(f"end {lane.key}")


def _name(text: str) -> str:
    return re.sub(r"[^\w-]+", "-", text)
