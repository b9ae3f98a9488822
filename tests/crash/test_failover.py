"""The run store on a MySQL server or a Galera cluster that fails over: saved once, or one sentence."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from matrix.mysql_double import Server

from stackmend.engine import database, tables
from stackmend.engine.database import open_database, reading, writing
from stackmend.engine.ownership import Lease
from stackmend.engine.writer import Fence, Writer
from stackmend.errors import StoreError

RUN = "11111111-1111-1111-1111-111111111111"
NOTE = sa.insert(tables.EVENTS)
BUSY = {1205: "lock wait", 1213: "deadlock", 1180: "another node's transaction came first"}
AWAY = {
    1047: "not ready",
    1053: "shutting down",
    1290: "read only",
    1792: "read only",
    1836: "read only",
    1927: "killed",
}
LOST = {2006: "gone away", 2013: "lost", 2055: "lost"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that has the tables, and a run."""
    file = tmp_path / "runs.sqlite"
    store = open_database(f"sqlite:///{file}")
    row = {"id": RUN, "key": "k", "procedure": "p", "version": "1", "cloud": "c", "digest": "d", "plan": "{}"}
    with writing(store) as connection:
        connection.execute(sa.insert(tables.RUNS), [{**row, "created_at": "now", "created_by": "me", "epoch": 1}])
    store.dispose()
    found = Server(file)
    monkeypatch.setattr("pymysql.connect", found.connect)
    return found


@pytest.fixture
def engine(server: Server) -> sa.Engine:
    return open_database("mysql+pymysql://me:secret@db/runs")


def save(engine: sa.Engine) -> None:
    """One row of the run's, by its writer."""
    hand = Writer(engine, Fence.of_run(RUN, 1))
    try:
        hand.write((NOTE, [{"run_id": RUN, "at": "now", "who": "me", "what": "saved"}]))
    finally:
        hand.close()


def saved(engine: sa.Engine) -> int:
    """How many rows there are."""
    with reading(engine) as connection:
        return len(connection.execute(sa.select(tables.EVENTS.c.id)).all())


@pytest.mark.parametrize("word", ["SELECT stackmend_runs", "INSERT"])
@pytest.mark.parametrize("code", [*BUSY, *AWAY, *LOST])
def test_a_transaction_that_came_to_nothing_is_tried_again(
    server: Server, engine: sa.Engine, code: int, word: str
) -> None:
    """On another connection where this one leads to a server that takes nothing: beyond it is another node."""
    server.fails(word, code)
    connections = server.connections
    save(engine)
    assert (server.met, saved(engine)) == (1, 1)
    assert server.connections - connections == (0 if code in BUSY else 1)


@pytest.mark.parametrize("code", BUSY)
def test_a_commit_that_was_refused_is_tried_again(server: Server, engine: sa.Engine, code: int) -> None:
    server.fails("COMMIT", code)
    save(engine)
    assert (server.met, saved(engine)) == (1, 1)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("code", [*AWAY, *LOST, 1305])
def test_a_commit_without_an_answer_is_not_repeated(server: Server, engine: sa.Engine, code: int, done: bool) -> None:
    """Whoever resumes reads what became of it."""
    server.fails("COMMIT", code, done=done)
    with pytest.raises(StoreError, match="run store mysql") as caught:
        save(engine)
    assert "secret" not in str(caught.value)
    assert (server.met, saved(engine)) == (1, int(done))


def test_who_waits_too_long_says_so(server: Server, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.3)
    server.fails("INSERT", 1047, times=1000)
    with pytest.raises(StoreError, match="check that the database is up"):
        save(engine)
    assert server.met > 1
    server.fails("", 0, times=0)
    assert saved(engine) == 0


def test_a_lease_is_taken_once(server: Server, engine: sa.Engine) -> None:
    server.fails("COMMIT", 2013, done=True)
    with pytest.raises(StoreError):
        Lease.take(engine, RUN, take_over=False)
    lease = Lease.take(engine, RUN, take_over=True)
    assert lease.epoch == 3
    lease.release()
