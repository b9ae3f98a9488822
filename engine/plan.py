"""The plan: frozen JSON, made before anything changes, and exactly what a run then executes.

A plan names the procedure and its version, the cloud, the parameters, what was captured, a verdict for every
target, and for each lane its steps with the exact calls and statements. Its digest covers all of it.
"""

import hashlib
import json
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar, get_args, get_origin

from stackmend.errors import BadInput, PlanRefused
from stackmend.texts import once

_LANES = uuid.UUID("5ac6e1a4-9d0f-5c02-8f2b-6b6f6d2f7a10")

T = TypeVar("T")
FORMAT = 1
# One empty list for all steps of an outline.
_NONE: list[dict[str, Any]] = []
VERDICTS = ("ready", "needs-consent", "impossible", "nothing-to-do")


@dataclass(frozen=True)
class PlannedStep:
    """A step as the operator reads it: its effects are the text of what will be sent."""

    name: str
    title: str
    effects: list[dict[str, Any]] = field(default_factory=list)
    when: str = "always"
    why: str = ""
    undoable: bool = True
    reads_only: bool = False


@dataclass(frozen=True)
class Lane:
    """The chain of steps for one target.

    ``after`` names the lanes that must have ended first, ``group`` what bounds how many run at once (a
    host), ``locks`` the targets no other run may hold, ``facts`` all that its steps are built from.
    """

    key: str
    title: str
    stage: str
    facts: dict[str, Any]
    steps: list[PlannedStep]
    after: list[str] = field(default_factory=list)
    priority: int = 0
    group: str = ""
    locks: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The lane as plain JSON."""
        return asdict(self)

    def text(self) -> str:
        """The lane as JSON text."""
        return _dumped(self)

    def outline(self) -> "Lane":
        """The lane without its facts and its steps' effects: thousands of them are kept while a run is worked on."""
        return replace(self, facts={}, steps=[replace(step, effects=_NONE) for step in self.steps])

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Lane":
        """The lane that ``to_json`` gave."""
        return _of_kind(cls, {**data, "steps": [_of_kind(PlannedStep, step) for step in data["steps"]]})


@dataclass(frozen=True)
class Verdict:
    """What the procedure can do for one target, said before anything changes."""

    target: str
    title: str
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Stage:
    """A barrier between groups of lanes; when a ``gate`` fails, no later stage begins.

    ``hold`` says what an operator does before the stage may begin: the run waits there to be approved again.
    """

    name: str
    title: str
    gate: bool = False
    hold: str = ""


@dataclass(frozen=True)
class Plan:
    """A frozen plan. Lanes are in the order in which they will be admitted."""

    procedure: str
    version: str
    cloud: dict[str, str]
    made_at: str
    made_by: str
    parameters: dict[str, Any]
    capture: dict[str, Any]
    stages: list[Stage]
    lanes: list[Lane]
    verdicts: list[Verdict]
    notes: list[str] = field(default_factory=list)
    estimate_seconds: float = 0.0
    format: int = FORMAT
    digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON, digest included."""
        return asdict(self)

    def parts(self) -> Iterator[str]:
        """The plan as JSON text, digest included, in parts: the whole may be tens of megabytes."""
        return _canonical(vars(self))

    def head(self) -> str:
        """The plan as JSON text without its lanes."""
        return "".join(replace(self, lanes=[]).parts())

    def frozen(self) -> "Plan":
        """The plan with its digest filled in."""
        return replace(self, digest=digest_of(vars(self)))

    def left_out(self) -> str | None:
        """Why the first target is left out for which something would have to be done, and how many more there are."""
        found = [verdict for verdict in self.verdicts if verdict.verdict in ("needs-consent", "impossible")]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return f"{found[0].title}: {found[0].verdict}, {found[0].why}{more}" if found else None

    def lane(self, key: str) -> Lane:
        """The lane of that key. Raises BadInput."""
        for lane in self.lanes:
            if lane.key == key:
                return lane
        raise BadInput(f"the plan has no lane {key}: `stackmend show RUN` lists them")

    def point_of_no_return(self, lane: Lane) -> PlannedStep | None:
        """The first step of a lane that can't be taken back."""
        return next((step for step in lane.steps if not (step.undoable or step.reads_only)), None)

    def targets(self) -> Iterator[str]:
        """Every target that a run of this plan locks."""
        for lane in self.lanes:
            yield from lane.locks


def digest_of(data: Mapping[str, Any]) -> str:
    """SHA-256 over the plan's canonical JSON, its digest left out; its parts may be dataclasses, or JSON already.

    It is written part by part: the whole of a plan of thousands of servers is tens of megabytes.
    """
    found = hashlib.sha256()
    for part in _canonical({key: value for key, value in data.items() if key != "digest"}):
        found.update(part.encode())
    return found.hexdigest()


def _canonical(data: Mapping[str, Any]) -> Iterator[str]:
    """What json.dumps makes of it with sorted keys, in parts: each entry of a list, or of what is passed by, is one."""
    yield "{"
    for number, (key, value) in enumerate(sorted(data.items())):
        yield f"{',' if number else ''}{_dumped(key)}:"
        if isinstance(value, list | Iterator):
            yield "["
            yield from (f"{',' if place else ''}{_dumped(item)}" for place, item in enumerate(value))
            yield "]"
        else:
            yield _dumped(value)
    yield "}"


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=vars)


def from_json(data: Any, where: str) -> Plan:
    """The plan in ``data``, read from ``where``. Raises PlanRefused when it is not one, or was edited."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise PlanRefused(f"{where} is not a plan of this stackmend (format {FORMAT}): make one with `stackmend plan`")
    if not isinstance(data.get("lanes"), list):
        raise PlanRefused(f"{where} is not a complete plan: it has no lanes")
    return assembled(data, iter(data["lanes"]), where)


def assembled(
    head: Mapping[str, Any], lanes: Iterator[Any], where: str, kept: Callable[[Lane], Lane] = lambda lane: lane
) -> Plan:
    """The plan of this ``head``, whose lanes pass by one after the other; of each is kept what ``kept`` says.

    Raises PlanRefused when it is not complete, or was edited.
    """
    found: list[Lane] = []

    def passing() -> Iterator[Any]:
        for lane in lanes:
            found.append(kept(Lane.from_json(lane)))
            yield lane

    try:
        intact = digest_of({**head, "lanes": passing()}) == head.get("digest")
        plan = _built(head, found)
    except (KeyError, TypeError) as error:
        raise PlanRefused(f"{where} is not a complete plan: {error}") from None
    if not intact:
        raise PlanRefused(
            f"{where} was changed after it was made: its digest no longer fits, so nothing of it is run; "
            "make a new plan with the parameters you want"
        )
    return plan


def read(path: str) -> Plan:
    """The plan in a file. Raises BadInput when it can't be read, PlanRefused when it must not run."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        return from_json(json.loads(text), path)
    except OSError as error:
        raise BadInput(f"the plan file {path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise PlanRefused(f"{path} is not JSON, so it is no plan: make one with `stackmend plan -o {path}`") from None


def write(plan: Plan, path: str) -> None:
    """Write a plan to a file. Raises BadInput when it can't be written."""
    write_json(plan.to_json(), path)


def write_json(data: Any, path: str) -> None:
    """Write ``data`` to a file only its owner may read. Raises BadInput when it can't be written."""
    write_text([json.dumps(data, indent=1, ensure_ascii=False)], path)


def write_text(parts: Iterable[str], path: str) -> None:
    """Write a text, in parts, to a file only its owner may read. Raises BadInput when it can't be written."""
    target = pathlib.Path(path)
    try:
        target.touch(mode=0o600)
        with target.open("w", encoding="utf-8") as file:
            file.writelines(parts)
            file.write("\n")
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}") from None


def _built(data: Mapping[str, Any], lanes: list[Lane]) -> Plan:
    known = {item.name for item in fields(Plan)}
    if extra := set(data) - known:
        raise TypeError(f"it has the unknown entries {', '.join(sorted(extra))}")
    parts: dict[str, Sequence[Any]] = {
        "stages": [_of_kind(Stage, stage) for stage in data["stages"]],
        "lanes": lanes,
        "verdicts": [_of_kind(Verdict, verdict) for verdict in data["verdicts"]],
    }
    return _of_kind(Plan, {**data, **parts})


def _of_kind(kind: type[T], data: Mapping[str, Any]) -> T:
    """A ``kind`` of these entries. Raises TypeError when one is missing, unknown or not what ``kind`` declares."""
    # Thousands of lanes say much in the same words.
    made: Any = kind(**{name: once(value) for name, value in data.items()})
    for item in fields(made):
        if not _fits(getattr(made, item.name), item.type):
            raise TypeError(f"the {item.name} of a {kind.__name__.lower()} is of the wrong kind")
    return made  # type: ignore[no-any-return]


def _fits(value: Any, hint: Any) -> bool:
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float if kind is float else kind):
        return isinstance(value, bool) and kind is bool
    if not inner or inner[-1] is Any:
        return True
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(_fits(item, inner[-1]) for item in values)


def lane_uuid(run_id: str, key: str) -> str:
    """The uuid of a lane's logbook and flow: the same in every process, so that a lane is created once."""
    return str(uuid.uuid5(_LANES, f"{run_id}/{key}"))
