"""The run store's layout: two releases share one store, and a store that can't be shared is left alone."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from stackmend.engine import tables
from stackmend.engine.database import open_database, reading, writing
from stackmend.errors import StoreError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'runs.sqlite'}"


def _laid_out(url: str) -> dict[str, int]:
    with reading(open_database(url)) as link:
        return dict(link.execute(sa.select(tables.LAYOUT)).one()._mapping)


def _changed(url: str, *statements: str) -> None:
    opened = open_database(url)
    with writing(opened) as link:
        for statement in statements:
            link.exec_driver_sql(statement)
    # Or the file would be written once more when whatever it was is collected as garbage.
    opened.dispose()


def test_what_an_earlier_release_made_gets_what_it_lacks(url: str) -> None:
    _changed(
        url,
        "INSERT INTO stackmend_runs (id, key, procedure, version, cloud, digest, plan, created_at, created_by, epoch) "
        "VALUES ('r', 'k', 'p', '1', 'c', 'd', '{}', 'now', 'me', 0)",
        "ALTER TABLE stackmend_runs DROP COLUMN lease_until",
        "DROP TABLE stackmend_alarms",
        "UPDATE stackmend_layout SET revision = 0",
    )
    opened = open_database(url)
    with reading(opened) as link:
        assert link.execute(sa.select(tables.RUNS.c.id, tables.RUNS.c.lease_until)).one() == ("r", None)
        assert link.execute(sa.select(tables.ALARMS)).all() == []
    assert _laid_out(url) == {"layout": tables.LAYOUT_NUMBER, "revision": tables.REVISION}


def test_what_a_later_release_added_is_left_alone(url: str) -> None:
    _changed(url, "ALTER TABLE stackmend_runs ADD COLUMN mood TEXT", "UPDATE stackmend_layout SET revision = 99")
    assert _laid_out(url)["revision"] == 99
    with reading(open_database(url)) as link:
        assert "mood" in {column["name"] for column in sa.inspect(link).get_columns("stackmend_runs")}


def test_a_layout_that_is_not_known_is_refused(url: str) -> None:
    _changed(url, "UPDATE stackmend_layout SET layout = 7")
    before = Path(url.removeprefix("sqlite:///")).read_bytes()
    with pytest.raises(StoreError, match=r"runs\.sqlite has layout 7, and this stackmend knows layout 2: use the rel"):
        open_database(url)
    assert Path(url.removeprefix("sqlite:///")).read_bytes() == before
