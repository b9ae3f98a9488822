"""How much a run writes: numbers that do not depend on the machine, so that they can't creep up unseen.

Those that are expected here were counted, not chosen. One that goes down is a gain: lower it here too.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bench import trivial
from stackmend.engine import procedures, runs, status, tables
from stackmend.engine.coordinator import Limits
from stackmend.engine.database import writing
from stackmend.engine.ownership import Lease
from stackmend.engine.store import Store
from stackmend.engine.writer import Fence, Writer

LANES = 50


@dataclass(frozen=True)
class Most:
    """The most that one lane of five steps may cost."""

    # Transactions. Its logbook, flow and atoms are one, its end is another; a step that looks takes two (it
    # runs, its result), one that acts four (it runs, its intent, the answer, its result).
    commits: int
    # Rows inserted or updated.
    rows: int
    # Calls of the database: each transaction is begun and reads the epoch; a lane is looked for before all else.
    statements: int


MOST = {trivial.READING: Most(12, 18, 40), trivial.ACTING: Most(22, 28, 70)}
# And the whole run, whatever its lanes: its lease, the lanes that workers may have in hand, its locks (a row a lane),
# what happened, statuses at both ends.
RUN = Most(commits=4, rows=LANES + 8, statements=25)


class Counted:
    """What goes to a database from now on; ``commits`` are those of writing transactions."""

    def __init__(self, engine: sa.Engine) -> None:
        self.commits = self.rows = self.statements = 0
        self._lock = threading.Lock()
        sa.event.listen(engine, "before_cursor_execute", self._executed)
        sa.event.listen(engine, "commit", self._committed)

    def _executed(self, _link: Any, _cursor: Any, statement: str, rows: Any, _context: Any, many: bool) -> None:
        with self._lock:
            self.statements += 1
            if statement.startswith(("INSERT", "UPDATE", "DELETE")):
                self.rows += len(rows) if many else 1

    def _committed(self, connection: sa.Connection) -> None:
        with self._lock:
            self.commits += bool(connection.get_execution_options().get("stackmend_writes"))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store of its own; the catalogue holds the bench's procedure for this test only."""
    monkeypatch.setitem(procedures.catalogue(), trivial.PROCEDURE.name, trivial.PROCEDURE)
    found = Store(f"sqlite:///{tmp_path}/runs.sqlite")
    yield found
    found.close()


@pytest.mark.parametrize("kind", MOST)
@pytest.mark.parametrize("at_once", [1, LANES])
def test_a_lane_writes_no_more_than_it_did(store: Store, kind: str, at_once: int) -> None:
    """One lane after the other shares no commit with another; all at once they share most."""
    run_id = trivial.stored_run(store, kind, LANES)
    counted = Counted(store.engine)
    # A lease so long that no slow machine has to renew it.
    session = runs.Session({"world": trivial.World()}, trivial.CLOUD, Limits(lanes=at_once), lease_seconds=3600)
    assert runs.execute(store, run_id, session) == status.DONE
    most = MOST[kind]
    assert counted.rows <= LANES * most.rows + RUN.rows
    assert counted.commits <= LANES * most.commits + RUN.commits
    assert counted.statements <= LANES * most.statements + RUN.statements


def test_what_waits_shares_one_commit(store: Store) -> None:
    """While another process writes, rows gather; then all of them go to disk at once."""
    run_id = trivial.stored_run(store, trivial.READING, 1)
    lease = Lease.take(store.engine, run_id, take_over=False)
    writer = Writer(store.engine, Fence.of_run(run_id, lease.epoch))
    row = {"run_id": run_id, "at": "", "who": "", "what": "waited"}
    with writing(store.engine):
        counted = Counted(store.engine)
        for _ in range(200):
            writer.write_later((sa.insert(tables.EVENTS), [row]))
    writer.close()
    lease.release()
    assert sum(event["what"] == "waited" for event in store.events(run_id)) == 200
    # The one that had been taken when the lock was met, the gathered rest, the lock's own, and the lease's.
    assert counted.commits <= 4
