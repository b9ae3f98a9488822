"""Database on a real MariaDB, the lab's: locks, rights, and connections that break at the worst moment."""

import os
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from sqlalchemy.engine import URL, make_url
from waiting import until

from stackmend.clients.database import Database, RowChange, RowInsert
from stackmend.errors import AnswerLost, ChangedSince, Unauthorized, Unreachable
from stackmend.lab.openstack.control import OpenStackLab

NAME = f"stackmend_test_{os.getpid()}"
pytestmark = pytest.mark.openstack


def change(status: str = "available", volume: str = "v1", **expect: Any) -> RowChange:
    return RowChange("cinder", "volumes", {"id": volume}, {"status": status}, expect)


@pytest.fixture
def server(openstack_lab: OpenStackLab) -> URL:
    """The server, and a user who may create databases."""
    return make_url(openstack_lab.description["databases"]["nova"]).set(database=None)


@pytest.fixture
def link(server: URL) -> Iterator[Any]:
    """A plain connection to a fresh database, dropped afterwards."""
    own = connected(server)
    cursor = own.cursor()
    cursor.execute(f"CREATE DATABASE {NAME}")
    own.select_db(NAME)
    cursor.execute(
        "CREATE TABLE volumes (id VARCHAR(36) PRIMARY KEY, status VARCHAR(255), seen DATETIME(6), deleted TINYINT(1))"
    )
    cursor.execute("INSERT INTO volumes VALUES ('v1', 'in-use', '2026-11-21 07:00:00.25', 0), ('v2', 'error', NULL, 0)")
    own.commit()
    yield own
    own.rollback()
    cursor.execute(f"DROP DATABASE {NAME}")
    own.close()


@pytest.fixture
def database(link: Any, server: URL) -> Iterator[Database]:
    """The same database through our door."""
    one = Database("cinder", text(server), patience=20)
    yield one
    one.close()


def status(link: Any) -> str:
    link.rollback()
    cursor = link.cursor()
    cursor.execute("SELECT status FROM volumes WHERE id = 'v1'")
    return str(cursor.fetchone()[0])


def test_changes_and_reads(database: Database, link: Any) -> None:
    assert database.change([change(deleted=0)]) == [{"id": "v1", "status": "in-use", "deleted": 0}]
    assert status(link) == "available"
    assert database.rows("volumes", {"id": "v1"}, ["seen", "deleted"]) == [
        {"seen": "2026-11-21T07:00:00.250000", "deleted": 0}
    ]


def test_a_change_to_the_same_value_is_one_row_too(database: Database) -> None:
    assert database.change([change("in-use")]) == [{"id": "v1", "status": "in-use"}]


def test_text_is_compared_exactly(database: Database) -> None:
    expect = RowChange("cinder", "volumes", {"id": "v1"}, {"status": "x"}, {"status": "IN-USE "})
    with pytest.raises(ChangedSince):
        database.change([expect])


def test_a_deadlock_is_tried_again(database: Database, link: Any, server: URL) -> None:
    cursor = link.cursor()
    # Many rows make the other transaction the dearer one, so that ours is the victim.
    cursor.executemany("INSERT INTO volumes VALUES (%s, 'x', NULL, 0)", [(f"n{n}",) for n in range(200)])
    cursor.execute("UPDATE volumes SET status = 'other' WHERE id = 'v2'")
    ours = threading.Thread(target=database.change, args=([change(), change(volume="v2")],))
    ours.start()
    until(lambda: somebody_waits(server), "our transaction waits for the lock")
    cursor.execute("UPDATE volumes SET status = 'other' WHERE id = 'v1'")
    link.commit()
    ours.join()
    assert [row["status"] for row in database.rows("volumes", {"id": ["v1", "v2"]}, ["status"])] == ["available"] * 2


def connected(server: URL) -> Any:
    """A plain connection."""
    return pymysql.connect(
        host=server.host, port=server.port or 3306, user=server.username, password=server.password or ""
    )


def text(server: URL, **changes: Any) -> str:
    """The URL of our database on it."""
    return server.set(database=NAME, **changes).render_as_string(hide_password=False)


def somebody_waits(server: URL) -> bool:
    """True once another transaction waits for a lock on this server.

    InnoDB's own report tells the present; information_schema.innodb_trx repeats what it said to whoever asks again
    within a tenth of a second.
    """
    other = connected(server)
    cursor = other.cursor()
    cursor.execute("SHOW ENGINE INNODB STATUS")
    report: str = cursor.fetchone()[2]
    other.close()
    return "LOCK WAIT" in report.split("\nTRANSACTIONS\n")[1]


def test_a_wrong_password_is_not_shown(link: Any, server: URL) -> None:
    database = Database("cinder", text(server, password="wr0ng"), patience=0.1)
    with pytest.raises(Unauthorized) as caught:
        database.rows("volumes", {})
    assert "wr0ng" not in str(caught.value)
    database.close()


class Cutter(socketserver.ThreadingTCPServer):
    """A proxy that drops a connection when a word passes to the server: before it, or after it was answered."""

    daemon_threads = True
    word: bytes = b""
    deliver = False
    cuts = 0

    def __init__(self, server: URL) -> None:
        self.real = (server.host, server.port or 3306)
        super().__init__(("127.0.0.1", 0), _Cut)


class _Cut(socketserver.BaseRequestHandler):
    server: Cutter

    def handle(self) -> None:
        with socket.create_connection(self.server.real) as real:
            while True:
                for source in select.select([self.request, real], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is self.request and self.server.word and self.server.word in data:
                        self.server.cuts += 1
                        if self.server.deliver:
                            real.sendall(data)
                            real.recv(65536)
                        return
                    (real if source is self.request else self.request).sendall(data)


@pytest.fixture
def cutter(link: Any, server: URL) -> Iterator[Cutter]:
    """The proxy, running."""
    proxy = Cutter(server)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
    thread.start()
    yield proxy
    proxy.shutdown()
    thread.join()
    proxy.server_close()


@pytest.fixture
def through(cutter: Cutter, server: URL) -> Iterator[Database]:
    """The database through the proxy, its schema known."""
    one = Database("cinder", text(server, host="127.0.0.1", port=cutter.server_address[1]), patience=3)
    assert one.has("volumes", "status")
    yield one
    one.close()


@pytest.mark.parametrize("delivered", [False, True])
def test_a_commit_without_an_answer_is_lost_and_never_repeated(
    cutter: Cutter, through: Database, link: Any, delivered: bool
) -> None:
    cutter.word, cutter.deliver = b"COMMIT", delivered
    with pytest.raises(AnswerLost, match="it may have happened"):
        through.change([change()])
    assert cutter.cuts == 1
    assert status(link) == ("available" if delivered else "in-use")


@pytest.mark.parametrize("delivered", [False, True])
def test_a_new_row_without_an_answer_is_lost_and_inserted_once(
    cutter: Cutter, through: Database, database: Database, delivered: bool
) -> None:
    one = RowInsert("cinder", "volumes", {"id": "v3", "status": "new", "seen": "2026-11-21T07:00:00Z"}, ["id"])
    cutter.word, cutter.deliver = b"COMMIT", delivered
    with pytest.raises(AnswerLost, match="it may have happened"):
        through.insert(one)
    assert database.insert(one) is not delivered
    assert database.rows("volumes", {"id": "v3"}, ["status", "seen"]) == [
        {"status": "new", "seen": "2026-11-21T07:00:00.000000"}
    ]


def test_a_connection_lost_before_the_commit_is_tried_again(cutter: Cutter, through: Database, link: Any) -> None:
    cutter.word = b"UPDATE"
    with pytest.raises(Unreachable):
        through.change([change()])
    assert cutter.cuts > 1
    assert status(link) == "in-use"
