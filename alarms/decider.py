"""What goes on behind the answers: alarms are decided, and what was decided is started.

All of it stands in the run store before it begins: a listener that dies leaves nothing out, and what it does again
(an order under the same key, an execution of the same id) is the same.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from stackmend.alarms import judgement
from stackmend.alarms.ledger import REFUSED, STARTED, STARTING, Ledger
from stackmend.alarms.rules import MISTRAL, RUN, Rule
from stackmend.engine import orders
from stackmend.errors import BadInput, StackmendError, StoreError

# Seconds between two looks for what another listener has stored, and for what is due.
_LOOK = 0.5
# Seconds for which work may gather.
_GATHER = 0.03
# Seconds before a store that is away is looked at again, doubled each time up to the longest.
_AGAIN, _LONGEST_AGAIN = 1.0, 30.0
# Seconds before what could not be started is tried again.
_START_AGAIN = 3.0
_SWEEP = 3600.0

# Starts a workflow by its name, its input and the id of its execution. Raises StackmendError.
Execute = Callable[[str, dict[str, Any], str], None]
Decided = Callable[[int, str], None]


class Loop:
    """A thread that does ``work`` whenever it is nudged, and every now and then; work that fails is done again."""

    def __init__(self, name: str, work: Callable[[], None], say: Callable[[str], None]) -> None:
        self._work, self._say = work, say
        self._nudged, self._ended = threading.Event(), threading.Event()
        self.last_well = time.monotonic()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """There is something to do."""
        self._nudged.set()

    def close(self) -> None:
        """End the thread after what it does now."""
        self._ended.set()
        self._nudged.set()
        self._thread.join()

    def _serve(self) -> None:
        pause = _AGAIN
        while not self._ended.is_set():
            self._nudged.wait(_LOOK)
            self._nudged.clear()
            # What comes meanwhile is done with it: those who store have the disk to themselves until then.
            self._ended.wait(_GATHER)
            try:
                self._work()
                self.last_well, pause = time.monotonic(), _AGAIN
            except Exception as error:  # noqa: BLE001 - alarms that are stored must be decided, whatever happens
                self._say(f"alarms wait, and are looked at again in {pause:g} s: {_told(error)}")
                self._ended.wait(pause)
                pause = min(2 * pause, _LONGEST_AGAIN)


class Decider:
    """Decides alarms by ``rules`` and orders the runs; ``execute``, where there is one, starts Mistral's workflows."""

    def __init__(
        self, ledger: Ledger, rules: list[Rule], keep: float, decided: Decided, execute: Execute | None
    ) -> None:
        self._ledger, self._rules, self._keep = ledger, rules, keep
        self._decided, self._execute = decided, execute
        self._swept = 0.0

    def decide(self) -> None:
        """Decide all that is due, order all that is to be run, and remove what is old."""
        self._each(RUN, self._order)
        more = True
        while more:
            found = judgement.decide(self._ledger, self._rules, time.time())
            for number, verdict in found:
                self._decided(number, verdict)
            if any(verdict == STARTING for _, verdict in found):
                self._each(RUN, self._order)
            more = len(found) == judgement.MOST_AT_ONCE
        if not self._swept or time.monotonic() - self._swept > _SWEEP:
            self._ledger.sweep(self._keep)
            self._swept = time.monotonic()

    def execute(self) -> None:
        """Start every workflow that is to be started; what Mistral did not take is tried again later."""
        self._each(MISTRAL, self._start_workflow)

    def _each(self, how: str, begin: Callable[[Any, dict[str, Any]], None]) -> None:
        for row in self._ledger.starting(time.time()):
            wanted = json.loads(row.start)
            if wanted["start"] == how:
                begin(row, wanted)

    def _order(self, row: Any, wanted: dict[str, Any]) -> None:
        by = f"alarm {row.id} (rule {row.rule})"
        try:
            given, approved = wanted["parameters"], wanted["approved"]
            order, _ = orders.place(self._ledger.store, row.key, wanted["procedure"], given, approved, by)
        except BadInput as error:
            self._became(row, REFUSED, str(error))
        except StoreError as error:
            # Where it is this order alone that is not taken, the others need not wait for it.
            self._again(row, error)
        else:
            told = f"ordered {wanted['procedure']} by rule {row.rule}"
            self._became(row, STARTED, told if approved else f"{told}; its plan waits for approval", order.id)

    def _start_workflow(self, row: Any, wanted: dict[str, Any]) -> None:
        execution = orders.order_id(row.key)
        if self._execute is None:
            return self._became(row, REFUSED, "this listener has no cloud whose Mistral it could ask: set OS_CLOUD")
        try:
            self._execute(wanted["workflow"], wanted["input"], execution)
        except StackmendError as error:
            return self._again(row, error)
        return self._became(row, STARTED, f"Mistral's execution {execution} of {wanted['workflow']}", execution)

    def _again(self, row: Any, error: StackmendError) -> None:
        self._ledger.settle(row.id, why=f"it is tried again: {error}", due=time.time() + _START_AGAIN)

    def _became(self, row: Any, verdict: str, why: str, started: str | None = None) -> None:
        self._ledger.settle(row.id, verdict=verdict, why=why, started_id=started)
        self._decided(row.id, verdict)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, StackmendError) else f"a bug of stackmend, {error!r}"
