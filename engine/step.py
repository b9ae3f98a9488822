"""The task contract: observe, intend, act, confirm; and undo.

TaskFlow executes a task at least once, and tells a resumed one nothing. A step therefore never assumes that
it runs for the first time:

* ``observe`` asks the cloud whether the effect is there already, under way, or not begun;
* the intent is made durable (engine.journal) before the effect;
* ``act`` brings about one effect, once;
* ``confirm`` waits for evidence: an accepted call is no recovery;
* ``undo`` restores what ``act`` changed, and refuses where somebody else changed it since.

A step names in the signature of each of these methods what it needs (``cloud``, ``databases``, ``ssh``,
``polls``): TaskFlow injects it, transiently, so that no client and no secret is ever stored.
"""

import functools
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from taskflow import task

from stackmend.engine import clock
from stackmend.engine.journal import Journal, Record
from stackmend.errors import AnswerLost, ChangedSince, CloudError, HostUnreachable, NeedsHands, PastNoReturn
from stackmend.pausing import pausing_by

Evidence = dict[str, Any]
# Seconds between two looks for a call whose answer was lost.
_LOOK_AGAIN = 0.25
_MAPPINGS: dict[tuple[type, str], Any] = {}
_OUR_ARGUMENTS = frozenset(["self", "record", "journal", "evidence"])


@dataclass(frozen=True)
class Done:
    """The effect is there: nothing to do, or nothing more."""

    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True)
class InFlight:
    """The effect has begun and has not ended: adopt it, and wait."""


@dataclass(frozen=True)
class NotStarted:
    """Nothing of the effect is to be seen.

    ``before`` is what an undo will need; ``mark`` what parts this attempt's evidence from older evidence.
    """

    before: dict[str, Any] = field(default_factory=dict)
    mark: dict[str, Any] = field(default_factory=dict)


Seen = Done | InFlight | NotStarted


class Again(Exception):
    """Raised by ``confirm``: the cloud itself says that the effect failed, and it is worth another attempt.

    ``observe`` decides after ``seconds`` what is to be done; ``why`` is told when no attempt is left.
    """

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.why = why


class Step(task.Task):
    """One effect on one target.

    ``slug`` and ``target`` make the step's name, which is data: a stored run is matched by it, so it must
    never change. ``when`` says, for the plan, on what condition the effect will be needed.
    """

    slug: ClassVar[str] = ""
    title: ClassVar[str] = ""
    reads_only: ClassVar[bool] = False
    # Whether it makes a host work hard: such steps of a lane are over before the next lane of that host begins.
    burdens_host: ClassVar[bool] = False
    undoable: bool = True
    most_attempts: int = 3

    def __init__(self, target: str, why: str = "", when: str = "always") -> None:
        self.target = target
        self.why = why
        self.when = when
        super().__init__(
            name=f"{self.slug}:{target}",
            requires=_needs(type(self), "observe", "act", "confirm"),
            revert_requires=_needs(type(self), "undo"),
        )

    # What a step defines: each method names what it needs in its own signature.

    def effects(self) -> list[Any]:
        """The exact calls, statements or commands that ``act`` sends; each has ``text()`` and ``to_json()``."""
        return []

    def observe(self, *args: Any, **kwargs: Any) -> Seen:
        """Ask the cloud; must not change anything. Raises NeedsHands when the answer is ambiguous."""
        raise NotImplementedError

    def act(self, *args: Any, **kwargs: Any) -> str:
        """Bring about the effect; returns the service's request id. Raises Refused, AnswerLost."""
        raise NotImplementedError

    def confirm(self, *args: Any, **kwargs: Any) -> Evidence:
        """Wait until the cloud proves the effect; returns the proof. Raises NeedsHands at the deadline."""
        raise NotImplementedError

    def undo(self, *args: Any, **kwargs: Any) -> Evidence:
        """Restore what was before, and confirm it. Raises ChangedSince."""
        raise NotImplementedError

    # What the engine calls.

    def execute(self, journal: Journal, **doors: Any) -> dict[str, Any]:
        """Bring the effect about exactly once; returns the step's result as it is stored."""
        record = journal.begin(self.name)
        with pausing_by(journal.pause, journal.pause):
            evidence, record = self._bring_about(record, journal, doors)
        journal.over(self.name)
        # TaskFlow hands a live task the original and a resumed one the JSON: make them the same at once.
        return json.loads(json.dumps({**_told(record), "ended": clock.now(), "evidence": evidence}))  # type: ignore[no-any-return]

    def revert(self, journal: Journal, result: Any, flow_failures: Any, **doors: Any) -> dict[str, Any]:
        """Undo the effect where there was, or may have been, one; returns what was restored."""
        record = journal.record(self.name)
        if record is None or not record.acted:
            return {"ended": clock.now(), "restored": False}
        if not self.undoable:
            raise PastNoReturn(f"{self.name} can't be taken back: {self.title} has been asked of the cloud")
        with pausing_by(journal.pause, functools.partial(journal.try_again, self.name)):
            evidence = self._call(self.undo, doors, record=record, journal=journal)
        return {"ended": clock.now(), "restored": True, "evidence": evidence}

    def update_progress(self, progress: float) -> None:
        """Nothing: a step's state says as much, and each number would cost a write."""

    def _build_arg_mapping(self, executor: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # The same for all steps of a class, and TaskFlow would read it from the signatures for each of them.
        key = (type(self), executor.__name__)
        if key not in _MAPPINGS:
            _MAPPINGS[key] = super()._build_arg_mapping(executor, *args, **kwargs)
        return _MAPPINGS[key]

    def _bring_about(self, record: Record, journal: Journal, doors: dict[str, Any]) -> tuple[Evidence, Record]:
        failed = ""
        while True:
            journal.check()
            # One that was parked has looked, and has waited since.
            parked = journal.owes(self.name)
            seen = InFlight() if parked else self._call(self.observe, doors, record=record, journal=journal)
            if isinstance(seen, Done):
                return seen.evidence, record
            if isinstance(seen, NotStarted):
                if journal.may_still_arrive(record):
                    journal.pause(_LOOK_AGAIN)
                    continue
                record = self._send(record, seen, journal, doors, failed)
                if record.answered is None:
                    continue
            try:
                return self._call(self.confirm, doors, record=record, journal=journal), record
            except Again as again:
                failed = again.why
                journal.pause(again.seconds)

    def _send(self, record: Record, seen: NotStarted, journal: Journal, doors: dict[str, Any], failed: str) -> Record:
        """Intend and act, once; the record has no answer when the service's was lost."""
        if record.attempt - record.granted >= self.most_attempts:
            nothing = "nothing of it is to be seen in the cloud: look at the service's log for that request id"
            raise NeedsHands(
                f"{self.name}: sent {record.attempt} times, last as {record.request_id}, and {failed or nothing}; "
                "then retry or skip"
            )
        record = journal.intend(self.name, record, seen.before, seen.mark)
        try:
            with pausing_by(journal.pause, functools.partial(journal.try_again, self.name)):
                answered = self._call(self.act, doors, record=record)
        except AnswerLost:
            return record
        except (CloudError, ChangedSince, HostUnreachable):
            journal.withdraw(self.name, record)
            raise
        return journal.answered(self.name, record, answered)

    def _call(self, method: Any, doors: dict[str, Any], **ours: Any) -> Any:
        wanted = _arguments(method.__func__)
        given = {**doors, **ours}
        return method(**{name: given[name] for name in wanted})


class Wait(Step):
    """A step that brings nothing about: it looks until something holds, for as many ``seconds``.

    What it waits for is its ``confirm``. Undo: nothing to undo, it only reads.
    """

    reads_only = True

    def __init__(self, target: str, seconds: float, why: str = "") -> None:
        super().__init__(target, why)
        self.seconds = seconds

    def observe(self) -> Seen:
        """Nothing to begin: look until it holds."""
        return InFlight()


def _told(record: Record) -> dict[str, Any]:
    return {
        "began": record.began,
        "acted": record.acted,
        "attempts": record.attempt,
        "request_id": record.request_id,
        "answered": record.answered,
    }


@functools.cache
def _arguments(method: Callable[..., Any]) -> tuple[str, ...]:
    """The names that a step's method asks for; none where the step leaves the method out."""
    found = inspect.signature(method).parameters.values()
    return tuple(item.name for item in found if item.kind is item.POSITIONAL_OR_KEYWORD and item.name != "self")


def _needs(step: type[Step], *methods: str) -> tuple[str, ...]:
    names = {name for method in methods for name in _arguments(getattr(step, method))}
    return ("journal", *sorted(names - _OUR_ARGUMENTS))
