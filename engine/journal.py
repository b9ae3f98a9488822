"""A step's durable record: what it was about to do, and what the answer was.

The record lives in the metadata of the step's TaskFlow atom. It is written *before* a side effect, so that
whoever executes the step again after a crash knows that the effect may have happened, since when, under
which request id, and what the target looked like before.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from taskflow.exceptions import NotFound
from taskflow.storage import Storage

from stackmend.engine import clock
from stackmend.engine.parking import Parked, Parking, Waits
from stackmend.engine.status import META_KEY
from stackmend.errors import LeaseLost


class Stopped(BaseException):
    """The operator stopped the run (or the process lost it): the step is left as it stands, to be resumed.

    Not an Exception: TaskFlow records those as the step's failure, and nothing has failed.
    """


@dataclass(frozen=True)
class Record:
    """One step's intents; ``request_id`` is ours and goes out with the call, ``answered`` is the service's.

    ``before`` is of the first attempt, ``mark`` of the last. ``granted``: how many attempts had been made when an
    operator last asked for more. ``uptime``: when the last intent was made, by the machine's uptime.
    """

    began: str
    attempt: int = 0
    intended: str | None = None
    uptime: str | None = None
    before: dict[str, Any] = field(default_factory=dict)
    mark: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    answered: str | None = None
    undo: dict[str, Any] | None = None
    granted: int = 0

    @property
    def acted(self) -> bool:
        """Whether an effect was intended: it happened, or it may have."""
        return self.intended is not None


class Journal:
    """What a step may write about itself, and its way to be stopped.

    ``check`` raises LeaseLost when this process no longer owns the run; it is asked right before each effect.
    ``settle``: seconds after which a call whose answer was lost can no longer arrive. ``past`` finds what
    other lanes' steps came to. ``over`` hears of each step whose effect is there. ``parks``: whether a step that
    waits may have its lane parked; ``woken``: what it was parked for, where it was.
    """

    def __init__(
        self,
        storage: Storage,
        run_id: str,
        check: Callable[[], None],
        stop: threading.Event,
        settle: float,
        past: Callable[[str, str], dict[str, Any]] = lambda _lane, _step: {},
        over: Callable[[str], None] = lambda _step: None,
        parks: bool = False,
        woken: Parking | None = None,
    ) -> None:
        self.over = over
        self._parks = parks
        self._woken = woken
        self._began = ""
        self._parkable = False
        self._storage = storage
        self._run_id = run_id
        self._check = check
        self._stop = stop
        self._settle = settle
        self._past = past
        self._seen: dict[str, float] = {}
        self._tried: dict[str | None, float] = {}

    def begin(self, step: str) -> Record:
        """The record of a step that is executed now; a new one where it has none."""
        woken = self._woken if self.owes(step) else None
        found = self.record(step) or Record(began=woken.began if woken else clock.now())
        self._began = found.began
        # It is parked once: what it waits for after that, such as a second look, is soon there.
        self._parkable = self._parks and woken is None
        return found

    def record(self, step: str) -> Record | None:
        """The step's record, or None when it was never begun, or the lane has no such step."""
        try:
            atom = self._storage._atomdetail_by_name(step)[0]
        except NotFound:
            return None
        stored = (atom.meta or {}).get(META_KEY)
        return Record(**stored) if stored else None

    def may_still_arrive(self, record: Record) -> bool:
        """Whether a call whose answer never came can still be on its way to the service."""
        return record.acted and record.answered is None and self._age(record) < self._settle

    def intend(self, step: str, record: Record, before: dict[str, Any], mark: dict[str, Any]) -> Record:
        """Make the intent durable; returns the record to act under. Raises Stopped."""
        self.check()
        attempt = record.attempt + 1
        intent = replace(
            record,
            attempt=attempt,
            intended=clock.now(),
            uptime=clock.uptime(),
            before=record.before or before,
            mark=mark,
            request_id=self._request_id(step, attempt),
            answered=None,
        )
        self._save(step, intent)
        self.check()
        return intent

    def try_again(self, step: str, seconds: float) -> None:
        """Wait before a call that was refused is tried again, and make its intent durable as of now. Raises Stopped.

        The intent tells whoever takes the run over how long the call may be in the air; that writing it succeeds
        tells this process that nobody has.
        """
        self.pause(seconds)
        if (record := self.record(step)) is not None:
            self._save(step, _as_of_now(record))
            self._tried[record.request_id] = time.monotonic()
        self.check()

    def answered(self, step: str, record: Record, request_id: str) -> Record:
        """Save the request id that the service gave the call."""
        known = replace(record, answered=request_id)
        self._save(step, known)
        return known

    def withdraw(self, step: str, record: Record) -> None:
        """Save that the last intent came to nothing: the service itself said no, or was never reached."""
        self._save(step, replace(record, intended=None, request_id=None))

    def undoing(self, step: str, record: Record, found: dict[str, Any]) -> Record:
        """Make durable that a revert of the step was begun, and what it found."""
        self.check()
        undo = replace(record, undo={"intended": clock.now(), "uptime": clock.uptime(), "found": found})
        self._save(step, undo)
        self.check()
        return undo

    def not_undone(self, step: str, record: Record) -> None:
        """Save that a revert of the step came to nothing: another one begins afresh."""
        self._save(step, replace(record, undo=None))

    def past(self, lane: str, step: str) -> dict[str, Any]:
        """The result of a step of another lane of this run, that ended before; empty when it has none.

        With ``acted``, ``request_id`` and ``evidence``, as ``execute`` returned it.
        """
        return self._past(lane, step)

    def owes(self, step: str | None = None) -> bool:
        """Whether what a step, or this one, was parked for is still to be handed over to it."""
        return self._woken is not None and step in (None, self._woken.step)

    def wait(self, step: str, waits: Waits) -> list[Any]:
        """Wait for what a step's effect brings about; returns what came. Raises what ended it: NeedsHands, Stopped.

        The lane may be parked here: what a step has done before it in its ``confirm`` is done again. So this wait
        comes first there.
        """
        if self._woken is not None and self._woken.step == step:
            over, self._woken = self._woken.over, None
            return over.result()
        over = waits.begin(self.check)
        if self._parkable:
            raise Parked(Parking(step, self._began, over))
        return over.result()

    def check(self) -> None:
        """Raise Stopped when nothing more may be done: asked to stop, or no longer the owner."""
        if self._stop.is_set():
            raise Stopped
        try:
            self._check()
        except LeaseLost as lost:
            raise Stopped(str(lost)) from lost

    def pause(self, seconds: float) -> None:
        """Wait between two looks at the cloud. Raises Stopped: at once when asked to stop, or no longer the owner."""
        self._stop.wait(seconds)
        self.check()

    def _age(self, record: Record) -> float:
        """Seconds since the intent, by clocks that can be believed; else since we first saw it."""
        if record.request_id in self._tried:
            return time.monotonic() - self._tried[record.request_id]
        age = clock.elapsed(record.uptime)
        if age is None:
            # Made on another machine, or before a boot: where our clock says that it is yet to come, one is wrong.
            age = clock.age(str(record.intended))
        if age >= 0:
            return age
        return time.monotonic() - self._seen.setdefault(str(record.intended), time.monotonic())

    def _request_id(self, step: str, attempt: int) -> str:
        return f"req-{uuid.uuid5(uuid.UUID(self._run_id), f'{step}#{attempt}')}"

    def _save(self, step: str, record: Record) -> None:
        try:
            self._storage.update_atom_metadata(step, {META_KEY: dict(vars(record))})
        except LeaseLost as lost:
            raise Stopped(str(lost)) from lost


def _as_of_now(record: Record) -> Record:
    """The record as if what is under way, the effect or its revert, had been intended just now."""
    now = {"intended": clock.now(), "uptime": clock.uptime()}
    if record.undo is not None:
        return replace(record, undo={**record.undo, **now})
    return record if record.answered else replace(record, intended=now["intended"], uptime=now["uptime"])
