"""stackmend with one rule of its contract broken, on purpose: the matrix must notice each of them.

A mutant is applied in a child process of tests/mortality.py, before the command begins.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from stackmend.clients.database import Database
from stackmend.engine import locks
from stackmend.engine.journal import Journal, Record
from stackmend.engine.lanes import LaneRunner
from stackmend.engine.ownership import Lease
from stackmend.engine.step import NotStarted, Seen, Step
from stackmend.engine.store import Run, Store
from stackmend.engine.writer import Fence, Writer
from stackmend.errors import AnswerLost
from stackmend.tasks import servers
from stackmend.tasks.evacuation import Evacuate


def looks_at_nothing() -> None:
    """Every effect is brought about, whatever the cloud shows."""
    call = Step._call

    def blind(self: Step, method: Any, doors: dict[str, Any], **ours: Any) -> Any:
        if method.__name__ == "observe" and not self.reads_only and not ours["record"].answered:
            found = call(self, method, doors, **ours)
            return NotStarted(getattr(found, "before", {}), getattr(found, "mark", {}))
        return call(self, method, doors, **ours)

    Step._call = blind  # type: ignore[method-assign]


def intends_nothing() -> None:
    """An intent is not made durable before its effect."""

    def intend(self: Journal, step: str, record: Record, before: dict[str, Any], mark: dict[str, Any]) -> Record:
        save, self._save = self._save, lambda *_: None  # type: ignore[method-assign]
        try:
            return known(self, step, record, before, mark)
        finally:
            self._save = save  # type: ignore[method-assign]

    known, Journal.intend = Journal.intend, intend  # type: ignore[method-assign]


def confirms_nothing() -> None:
    """A call that was accepted counts as done."""
    call = Step._call

    def trusting(self: Step, method: Any, doors: dict[str, Any], **ours: Any) -> Any:
        return {} if method.__name__ == "confirm" else call(self, method, doors, **ours)

    Step._call = trusting  # type: ignore[method-assign]


def keeps_writes_to_itself() -> None:
    """What a step notes reaches the run store at the end only."""

    def write(self: Writer, *statements: Any) -> None:
        self.__dict__.setdefault("kept", []).extend(statements)

    def close(self: Writer) -> None:
        self._put(tuple(self.__dict__.pop("kept", ())))
        known(self)

    Writer.write = Writer.write_later = write  # type: ignore[method-assign]
    known, Writer.close = Writer.close, close  # type: ignore[method-assign]


def sends_again_at_once() -> None:
    """A call whose answer was lost is sent a second time, without a look."""
    call = Step._call

    def hasty(self: Step, method: Any, doors: dict[str, Any], **ours: Any) -> Any:
        try:
            return call(self, method, doors, **ours)
        except AnswerLost:
            return call(self, method, doors, **ours)

    Step._call = hasty  # type: ignore[method-assign]


def forgets_actions() -> None:
    """Nova's record of a reboot that was asked for is not looked for."""
    servers.arrived = lambda record, *_: record.answered  # type: ignore[assignment]


def forgets_migrations() -> None:
    """Nova's record of an evacuation is not looked at."""

    def observe(self: Evacuate, record: Record, cloud: Any, polls: Any) -> Seen:
        seen = known(self, record, cloud, polls)
        return seen if record.answered else NotStarted({}, {"last": 0, "to": None})

    known, Evacuate.observe = Evacuate.observe, observe  # type: ignore[method-assign]


def widens_the_where() -> None:
    """A change of one row reaches all rows of its table."""

    def change(self: Database, changes: Any) -> Any:
        found = known(self, changes)
        with self._engine.connect().execution_options(writes=True) as link, link.begin():
            for one in changes:
                link.execute(sa.update(self._reflected()[one.table]).values(one.values))
        return found

    known, Database.change = Database.change, change  # type: ignore[method-assign]


def locks_nothing() -> None:
    """Two runs may work on the same server."""
    locks.acquire = lambda *_: None  # type: ignore[assignment]


def keeps_its_locks() -> None:
    """Targets are not given back."""
    locks.release = lambda *_: None  # type: ignore[assignment]


def fears_no_loss() -> None:
    """A process goes on with a run that another one has taken over."""
    Lease.check = lambda _: None  # type: ignore[method-assign]
    Fence.check = lambda *_: None  # type: ignore[method-assign]


def begins_anew() -> None:
    """Steps that are done are executed again."""

    def carry_out(self: LaneRunner, what: str, journal: Journal, doors: Any) -> None:
        for step in self._steps:
            if not journal.owes() and self.storage.get_atom_state(step.name) == "SUCCESS":
                self.storage.reset(step.name)
        known(self, what, journal, doors)

    known, LaneRunner.carry_out = LaneRunner.carry_out, carry_out  # type: ignore[method-assign]


def forgets_what_it_reverts() -> None:
    """Which lanes are to be taken back is not kept before the first of them is."""
    known, Store.begin = Store.begin, lambda self, run, what, _=(): known(self, run, what)  # type: ignore[misc,assignment]


def undoes_nothing() -> None:
    """A revert says that it undid what it left as it is."""
    call = Step._call

    def idle(self: Step, method: Any, doors: dict[str, Any], **ours: Any) -> Any:
        return {} if method.__name__ == "undo" else call(self, method, doors, **ours)

    Step._call = idle  # type: ignore[method-assign]


def asks_nobody() -> None:
    """A plan that nobody approved is executed."""
    approved, Run.approved = Run.approved, property(lambda _: True)  # type: ignore[misc,assignment]
    assert approved


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__.replace("_", " "): mutant
    for mutant in (
        looks_at_nothing,
        intends_nothing,
        confirms_nothing,
        keeps_writes_to_itself,
        sends_again_at_once,
        forgets_actions,
        forgets_migrations,
        widens_the_where,
        locks_nothing,
        keeps_its_locks,
        fears_no_loss,
        begins_anew,
        forgets_what_it_reverts,
        undoes_nothing,
        asks_nobody,
    )
}
