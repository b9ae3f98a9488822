"""Database on a real MySQL or MariaDB: locks, rights, and connections that break at the worst moment.

Left out unless asked for by `pytest -m mysql`; STACKMEND_TEST_MYSQL then names a server and a user who may create
databases, as mysql+pymysql://user:password@host:port.
"""

import os
import select
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from sqlalchemy.engine import make_url

from stackmend.clients.database import Database, RowChange
from stackmend.errors import AnswerLost, ChangedSince, Unauthorized, Unreachable

SERVER = os.environ.get("STACKMEND_TEST_MYSQL", "")
NAME = f"stackmend_test_{os.getpid()}"
pytestmark = pytest.mark.mysql


def change(status: str = "available", volume: str = "v1", **expect: Any) -> RowChange:
    return RowChange("cinder", "volumes", {"id": volume}, {"status": status}, expect)


@pytest.fixture
def link() -> Iterator[Any]:
    """A plain connection to a fresh database, dropped afterwards."""
    url = make_url(SERVER)
    own = pymysql.connect(host=url.host, port=url.port or 3306, user=url.username, password=url.password or "")
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
def database(link: Any) -> Iterator[Database]:
    """The same database through our door."""
    one = Database("cinder", f"{SERVER}/{NAME}?charset=utf8", patience=20)
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


def test_a_deadlock_is_tried_again(database: Database, link: Any) -> None:
    cursor = link.cursor()
    # Many rows make the other transaction the dearer one, so that ours is the victim.
    cursor.executemany("INSERT INTO volumes VALUES (%s, 'x', NULL, 0)", [(f"n{n}",) for n in range(200)])
    cursor.execute("UPDATE volumes SET status = 'other' WHERE id = 'v2'")
    ours = threading.Thread(target=database.change, args=([change(), change(volume="v2")],))
    ours.start()
    deadline = time.monotonic() + 10
    while not somebody_waits() and time.monotonic() < deadline:
        time.sleep(0.02)
    cursor.execute("UPDATE volumes SET status = 'other' WHERE id = 'v1'")
    link.commit()
    ours.join()
    assert [row["status"] for row in database.rows("volumes", {"id": ["v1", "v2"]}, ["status"])] == ["available"] * 2


def somebody_waits() -> bool:
    """True once another transaction waits for a lock on this server."""
    url = make_url(SERVER)
    other = pymysql.connect(host=url.host, port=url.port or 3306, user=url.username, password=url.password or "")
    cursor = other.cursor()
    cursor.execute("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
    waiting = bool(cursor.fetchone()[0])
    other.close()
    return waiting


def test_a_wrong_password_is_not_shown(link: Any) -> None:
    url = make_url(SERVER).set(password="wr0ng", database=NAME)
    database = Database("cinder", url.render_as_string(hide_password=False), patience=0.1)
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

    def __init__(self) -> None:
        url = make_url(SERVER)
        self.real = (url.host, url.port or 3306)
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
def cutter(link: Any) -> Iterator[Cutter]:
    """The proxy, running."""
    proxy = Cutter()
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
    thread.start()
    yield proxy
    proxy.shutdown()
    thread.join()
    proxy.server_close()


@pytest.fixture
def through(cutter: Cutter) -> Iterator[Database]:
    """The database through the proxy, its schema known."""
    url = make_url(SERVER).set(host="127.0.0.1", port=cutter.server_address[1], database=NAME)
    one = Database("cinder", url.render_as_string(hide_password=False), patience=3)
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


def test_a_connection_lost_before_the_commit_is_tried_again(cutter: Cutter, through: Database, link: Any) -> None:
    cutter.word = b"UPDATE"
    with pytest.raises(Unreachable):
        through.change([change()])
    assert cutter.cuts > 1
    assert status(link) == "in-use"
