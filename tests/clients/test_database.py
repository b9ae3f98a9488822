"""Database: rows by their whole primary key, all or none, and honest about a lost commit."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stackmend.clients.database import Database, RowChange, RowInsert, database_url_from_conf
from stackmend.errors import BadInput, ChangedSince, Refused, Unreachable

SCHEMA = """
CREATE TABLE volumes (id VARCHAR(36) PRIMARY KEY, status VARCHAR(255) CHECK (status <> 'illegal'),
                      attach_status VARCHAR(255), updated_at DATETIME, deleted BOOLEAN);
CREATE TABLE bindings (port_id VARCHAR(36), host VARCHAR(255), vif_type VARCHAR(64), PRIMARY KEY (port_id, host));
CREATE TABLE loose (name VARCHAR(10));
INSERT INTO volumes VALUES ('v1', 'in-use', 'attached', '2026-11-21 07:00:00.250000', 0);
INSERT INTO volumes VALUES ('v2', 'error', NULL, NULL, 1);
INSERT INTO bindings VALUES ('p1', 'c01', 'ovs'), ('p1', 'c02', 'ovs');
"""


def reset(volume: str = "v1", **expect: object) -> RowChange:
    values = {"status": "available", "attach_status": "detached"}
    return RowChange("cinder", "volumes", {"id": volume}, values, expect)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A SQLite file with a small cinder in it."""
    file = tmp_path / "cinder.sqlite"
    link = sqlite3.connect(file)
    link.executescript(SCHEMA)
    link.close()
    return file


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """The cinder database, with a second of patience."""
    one = Database("cinder", f"sqlite:///{path}", patience=1)
    yield one
    one.close()


class TestRowChange:
    def test_text_is_the_statement(self) -> None:
        change = RowChange("cinder", "volumes", {"id": "v'1"}, {"status": None, "n": 0}, {"deleted": None})
        assert change.text() == ("UPDATE cinder.volumes SET status = NULL, n = 0 WHERE id = 'v''1' AND deleted IS NULL")

    def test_text_hides_connection_information(self) -> None:
        change = RowChange("nova", "block_device_mapping", {"id": 1}, {"connection_info": '{"auth_password": "x9"}'})
        assert "x9" not in change.text()

    def test_json_round_trip(self) -> None:
        change = reset(status="in-use")
        assert RowChange.from_json(json.loads(json.dumps(change.to_json()))) == change
        with pytest.raises(BadInput, match="not whole"):
            RowChange.from_json({"table": "volumes"})


class TestReading:
    def test_schema(self, database: Database) -> None:
        assert database.schema["bindings"] == ["port_id", "host", "vif_type"]
        assert database.has("volumes", "status", "deleted")
        assert not database.has("volumes", "mountpoint")
        assert not database.has("volume_attachment")

    def test_rows_are_json(self, database: Database) -> None:
        assert database.rows("volumes", {"id": "v1"}) == [
            {
                "id": "v1",
                "status": "in-use",
                "attach_status": "attached",
                "updated_at": "2026-11-21T07:00:00.250000",
                "deleted": 0,
            }
        ]

    def test_where_takes_sequences_nulls_and_times(self, database: Database) -> None:
        many = [f"none-{number}" for number in range(1200)]
        found = database.rows("volumes", {"id": [*many, "v1", "v1", "v2"]}, ["id"])
        assert sorted(row["id"] for row in found) == ["v1", "v2"]
        assert database.rows("volumes", {"attach_status": None}, ["id"]) == [{"id": "v2"}]
        assert database.rows("volumes", {"updated_at": "2026-11-21T07:00:00.25Z"}, ["id"]) == [{"id": "v1"}]
        assert database.rows("volumes", {"id": []}) == []

    def test_what_the_schema_lacks_is_named(self, database: Database) -> None:
        with pytest.raises(BadInput, match=r"no column volumes\.mountpoint"):
            database.rows("volumes", {"id": "v1"}, ["id", "mountpoint"])
        with pytest.raises(BadInput, match="no table instances"):
            database.rows("instances", {})

    def test_server_time(self, database: Database) -> None:
        assert abs(database.server_time() - datetime.now(UTC)) < timedelta(seconds=5)


class TestChanging:
    def test_changes_the_row_and_returns_what_it_was(self, database: Database) -> None:
        before = database.change([reset(status="in-use")])
        assert before == [{"id": "v1", "status": "in-use", "attach_status": "attached"}]
        assert database.rows("volumes", {"id": "v1"}, ["status", "updated_at"]) == [
            {"status": "available", "updated_at": "2026-11-21T07:00:00.250000"}
        ]

    def test_times_and_booleans_go_both_ways(self, database: Database) -> None:
        values = {"updated_at": "2026-11-21T09:00:00+01:00", "deleted": 0}
        database.change([RowChange("cinder", "volumes", {"id": "v2"}, values, {"deleted": 1, "updated_at": None})])
        assert database.rows("volumes", {"id": "v2"}, ["updated_at", "deleted"]) == [
            {"updated_at": "2026-11-21T08:00:00.000000", "deleted": 0}
        ]

    def test_several_changes_of_one_row_follow_each_other(self, database: Database) -> None:
        second = RowChange("cinder", "volumes", {"id": "v1"}, {"status": "error"}, {"status": "available"})
        assert [row["status"] for row in database.change([reset(), second])] == ["in-use", "available"]

    def test_a_part_of_the_key_itself_can_change(self, database: Database) -> None:
        key = {"port_id": "p1", "host": "c01"}
        database.change([RowChange("cinder", "bindings", key, {"host": "c03"})])
        assert [row["host"] for row in database.rows("bindings", {}, ["host"])] == ["c02", "c03"]

    @pytest.mark.parametrize(
        "second",
        [
            reset("v2", status="in-use"),
            reset("v9"),
            RowChange("cinder", "volumes", {"id": "v2"}, {"status": "illegal"}),
        ],
        ids=["unexpected", "gone", "refused"],
    )
    def test_all_or_none(self, database: Database, second: RowChange) -> None:
        with pytest.raises((ChangedSince, Refused)):
            database.change([reset(), second])
        assert database.rows("volumes", {"id": "v1"}, ["status"]) == [{"status": "in-use"}]

    def test_what_somebody_else_changed_is_named(self, database: Database) -> None:
        with pytest.raises(ChangedSince, match=r"id=v2 of cinder\.volumes has status = 'error' and 'in-use'"):
            database.change([reset("v2", status="in-use")])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (RowChange("cinder", "volumes", {"status": "error"}, {"status": "x"}), "whole primary key"),
            (RowChange("cinder", "bindings", {"port_id": "p1"}, {"vif_type": "x"}), r"\(port_id, host\) only"),
            (RowChange("cinder", "loose", {"name": "x"}, {"name": "y"}), "whole primary key"),
            (RowChange("cinder", "volumes", {"id": "v1"}, {"mountpoint": None}), r"volumes\.mountpoint"),
            (RowChange("cinder", "volumes", {"id": "v1"}, {}), "no values"),
            (RowChange("nova", "volumes", {"id": "v1"}, {"status": "x"}), "nova database was given"),
            (RowChange("cinder", "volumes", {"id": "v1"}, {"updated_at": "soon"}), "takes a time"),
        ],
    )
    def test_what_does_not_fit_is_refused_before_anything_is_written(
        self, database: Database, change: RowChange, words: str
    ) -> None:
        with pytest.raises(BadInput, match=words):
            database.change([reset(), change])
        assert database.rows("volumes", {"id": "v1"}, ["status"]) == [{"status": "in-use"}]

    def test_only_one_of_many_racing_threads_changes_the_row(self, database: Database) -> None:
        results: list[str] = []

        def race() -> None:
            try:
                database.change([reset(status="in-use")])
                results.append("changed")
            except ChangedSince:
                results.append("late")

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == ["changed"] + ["late"] * 7


class TestInserting:
    NEW = RowInsert("cinder", "volumes", {"id": "v'3", "status": None, "updated_at": "2026-11-21T07:00:00Z"}, ["id"])

    def test_text_is_the_statement(self) -> None:
        assert self.NEW.text() == (
            "INSERT INTO cinder.volumes (id, status, updated_at) VALUES ('v''3', NULL, '2026-11-21T07:00:00Z')"
        )

    def test_inserts_once(self, database: Database) -> None:
        assert [database.insert(self.NEW), database.insert(self.NEW)] == [True, False]
        (row,) = database.rows("volumes", {"id": "v'3"})
        assert (row["status"], row["updated_at"]) == (None, "2026-11-21T07:00:00.000000")

    def test_a_row_that_is_there_stays_as_it_is(self, database: Database) -> None:
        assert database.insert(RowInsert("cinder", "volumes", {"id": "v2", "status": "new"}, ["id"])) is False
        assert database.rows("volumes", {"id": "v2"}, ["status"]) == [{"status": "error"}]

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            (RowInsert("cinder", "volumes", {"id": "v3", "mountpoint": None}, ["id"]), "no column volumes.mountpoint"),
            (RowInsert("cinder", "migrations", {"id": "v3"}, ["id"]), "no table migrations"),
            (RowInsert("nova", "volumes", {"id": "v3"}, ["id"]), "given to the cinder database"),
            (RowInsert("cinder", "volumes", {"id": "v3", "updated_at": "soon"}, ["id"]), "is none"),
        ],
    )
    def test_what_does_not_fit(self, database: Database, row: RowInsert, said: str) -> None:
        with pytest.raises(BadInput, match=said):
            database.insert(row)

    def test_what_the_table_forbids(self, database: Database) -> None:
        with pytest.raises(Refused):
            database.insert(RowInsert("cinder", "volumes", {"id": "v3", "status": "illegal"}, ["id"]))


class TestReaching:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="does not exist"):
            Database("cinder", f"sqlite:///{tmp_path}/none.sqlite")

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("hello " * 1000)
        database = Database("cinder", f"sqlite:///{tmp_path}/x", patience=0.1)
        with pytest.raises(BadInput, match="no such database"):
            database.rows("volumes", {})
        database.close()

    @pytest.mark.parametrize("url", ["postgresql://cinder:pw9@db/cinder", "cinder:pw9@db", "mysql://a:pw9@h:x/c"])
    def test_an_address_that_is_no_use(self, url: str) -> None:
        with pytest.raises(BadInput) as caught:
            Database("cinder", url)
        assert "pw9" not in str(caught.value)

    def test_a_server_that_is_down(self) -> None:
        database = Database("cinder", "mysql://cinder:pw9@127.0.0.1:1/cinder", patience=0.1)
        with pytest.raises(Unreachable, match=r"cinder:\*\*\*@127\.0\.0\.1:1/cinder"):
            database.rows("volumes", {})
        database.close()


class TestConfigurationFile:
    @pytest.fixture
    def conf(self, tmp_path: Path) -> Callable[[str], Path]:
        def write(text: str) -> Path:
            (tmp_path / "nova.conf").write_text(text)
            return tmp_path / "nova.conf"

        return write

    def test_reads_as_the_service_does(self, conf: Callable[[str], Path]) -> None:
        text = (
            "[DEFAULT]\nconnection = wrong\nfilters = a\nfilters = b\n[api_database]\nconnection=api\n"
            "[database]\n# connection = old\nconnection = first\n[pci]\nalias = {}\nalias = {}\n"
            '[database]\nconnection = "mysql+pymysql://nova:p%40$$=w@db/nova?charset=utf8"\n'
        )
        assert database_url_from_conf(conf(text)) == "mysql+pymysql://nova:p%40$=w@db/nova?charset=utf8"
        assert database_url_from_conf(conf(text), "api_database") == "api"

    def test_no_connection(self, conf: Callable[[str], Path]) -> None:
        with pytest.raises(BadInput, match=r"no connection in \[database\]"):
            database_url_from_conf(conf("[DEFAULT]\nconnection = wrong\n[database]\nmax_retries = 1\n"))

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="could not be read"):
            database_url_from_conf(tmp_path / "none.conf")

    def test_a_broken_file_is_not_quoted(self, conf: Callable[[str], Path]) -> None:
        with pytest.raises(BadInput) as caught:
            database_url_from_conf(conf("mysql://nova:pw9@db/nova\n"))
        assert "pw9" not in str(caught.value)
