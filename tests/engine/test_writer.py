"""The run store's writer: durable when it says so, and silent for who has lost the run."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from stackmend.engine import tables
from stackmend.engine.database import open_database, reading, writing
from stackmend.engine.ownership import Lease, Owner, owner_of
from stackmend.engine.writer import Fence, Writer
from stackmend.errors import BadInput, Held, LeaseLost, StoreError

RUN = "11111111-1111-1111-1111-111111111111"
NOTE = sa.insert(tables.EVENTS)


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    engine = open_database(f"sqlite:///{tmp_path / 'deep' / 'runs.sqlite'}")
    row = {"id": RUN, "key": "k", "procedure": "p", "version": "1", "cloud": "c", "digest": "d", "plan": "{}"}
    with writing(engine) as connection:
        connection.execute(sa.insert(tables.RUNS), [{**row, "created_at": "now", "created_by": "me", "epoch": 1}])
    return engine


def note(what: str) -> tuple[sa.Insert, list[dict[str, str]]]:
    return NOTE, [{"run_id": RUN, "at": "now", "who": "me", "what": what}]


def notes(engine: sa.Engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.execute(sa.select(tables.EVENTS.c.what).order_by(tables.EVENTS.c.id)).scalars())


def test_rows_are_there_when_write_returns_and_in_order(engine: sa.Engine) -> None:
    writer = Writer(engine, Fence.of_run(RUN, 1))
    writer.write_later(note("first"))
    writer.write(note("second"))
    assert notes(engine) == ["first", "second"]
    writer.write_later(note("third"))
    writer.close()
    assert notes(engine) == ["first", "second", "third"]


def test_whoever_waits_hears_of_any_failure(engine: sa.Engine) -> None:
    writer = Writer(engine, Fence.of_run(RUN, 1))
    for _ in range(2):
        with pytest.raises(StoreError, match="TypeError"):
            writer.write((NOTE, 7))  # type: ignore[arg-type]
    writer.close()
    assert notes(engine) == []


def test_who_has_lost_the_run_writes_nothing_more(engine: sa.Engine) -> None:
    writer = Writer(engine, Fence.of_run(RUN, 1))
    writer.write(note("mine"))
    lease = Lease.take(engine, RUN, take_over=False)
    for _ in range(2):
        with pytest.raises(LeaseLost, match="taken over"):
            writer.write(note("not mine any more"))
    writer.close()
    lease.release()
    assert notes(engine) == ["mine"]


def test_a_lease_is_held_by_one_and_shown(engine: sa.Engine) -> None:
    first = Lease.take(engine, RUN, take_over=False)
    assert owner_of(engine, RUN) == Owner.me()
    with pytest.raises(Held, match="--take-over"):
        Lease.take(engine, RUN, take_over=False)
    second = Lease.take(engine, RUN, take_over=True)
    assert second.epoch == first.epoch + 1
    first.release()
    assert owner_of(engine, RUN) == Owner.me(), "who lost a run can't give it back"
    second.release()
    assert owner_of(engine, RUN) is None


def test_an_owner_that_is_gone(engine: sa.Engine) -> None:
    me = Owner.me()
    assert not me.dead()
    assert Owner(me.user, me.host, me.pid, "1", me.boot).dead(), "the process id was given to another process"
    assert Owner(me.user, me.host, me.pid, me.started, "another boot").dead()
    assert not Owner(me.user, "another-host", 1, "1", "b").dead(), "nobody can see into another machine"


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:"])
def test_a_store_that_can_not_hold_a_run(url: str) -> None:
    with pytest.raises(BadInput):
        open_database(url)


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "runs.sqlite").write_bytes(b"this is no database, it only looks like a file" * 50)
    with pytest.raises(StoreError, match="not a database"):
        open_database(f"sqlite:///{tmp_path / 'runs.sqlite'}")
