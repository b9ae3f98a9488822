"""What stands behind PyMySQL in place of a server: SQLite, and the errors with which a server that fails answers."""

import re
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

# What SQLAlchemy asks a server before anything else.
_CANNED = {
    "DATABASE()": [("runs",)],
    "VERSION()": [("10.11.6-MariaDB",)],
    "@@TX_ISOLATION": [("READ-COMMITTED",)],
    "@@TRANSACTION_ISOLATION": [("READ-COMMITTED",)],
    "LOWER_CASE_TABLE_NAMES": [(0,)],
    "SQL_MODE": [("sql_mode", "")],
    "DESCRIBE": [("id", "text", "NO", "", None, "")],
    "SET ": [],
    "TEST": [("test",)],
}


@dataclass
class Server:
    """``file`` has the run store's tables. A statement that contains ``word`` fails with ``code``, so many times.

    ``done``: a COMMIT that fails was carried out all the same.
    """

    file: Path
    code: int = 0
    word: str = ""
    times: int = 0
    done: bool = False
    connections: int = 0
    met: int = 0

    def fails(self, word: str, code: int, times: int = 1, done: bool = False) -> None:
        """From now on."""
        self.word, self.code, self.times, self.done, self.met = word, code, times, done, 0

    def connect(self, **_: Any) -> "Connection":
        """In place of pymysql.connect."""
        self.connections += 1
        return Connection(self, sqlite3.connect(self.file, isolation_level=None, check_same_thread=False))

    def hit(self, statement: str) -> bool:
        """Whether this statement fails."""
        if self.met >= self.times or self.word not in statement:
            return False
        self.met += 1
        return True

    def error(self) -> pymysql.err.OperationalError:
        """As the driver raises it."""
        return pymysql.err.OperationalError(self.code, "the server fails")


class Connection:
    """What SQLAlchemy asks of a connection of PyMySQL's."""

    server_version = "10.11.6-MariaDB"
    encoding = "utf8"

    def __init__(self, server: Server, link: sqlite3.Connection) -> None:
        self.server, self.link = server, link

    def cursor(self, *_: Any) -> "Cursor":
        """A new one."""
        return Cursor(self)

    def get_server_info(self) -> str:
        """Its version."""
        return self.server_version

    def character_set_name(self) -> str:
        """Its encoding."""
        return self.encoding

    def autocommit(self, on: bool) -> None:
        """Off, always."""
        assert not on

    def ping(self, *_: Any) -> None:
        """It is there."""

    def commit(self) -> None:
        """COMMIT, which may fail before or after it was carried out."""
        hit = self.server.hit("COMMIT")
        if self.link.in_transaction:
            self.link.execute("ROLLBACK" if hit and not self.server.done else "COMMIT")
        if hit:
            raise self.server.error()

    def rollback(self) -> None:
        """ROLLBACK."""
        if self.link.in_transaction:
            self.link.execute("ROLLBACK")

    def close(self) -> None:
        """What was not committed is gone."""
        self.link.close()


@dataclass
class Cursor:
    """What SQLAlchemy asks of a cursor."""

    connection: Connection
    arraysize: int = 1
    lastrowid: int | None = None
    rowcount: int = -1
    description: Any = None
    _rows: list[Any] = field(default_factory=list)

    def execute(self, statement: str, values: Any = ()) -> int:
        """On SQLite, unless it is about the server itself."""
        if self.connection.server.hit(statement):
            raise self.connection.server.error()
        self._rows = next((list(rows) for word, rows in _CANNED.items() if word in statement.upper()), [])
        self.description = (
            [(f"column {place}", *[None] * 6) for place in range(len(self._rows[0]))] if self._rows else None
        )
        if not self._rows and not statement.upper().startswith("SET "):
            self._on_sqlite(statement, values)
        return self.rowcount

    def executemany(self, statement: str, rows: Any) -> int:
        """One after another."""
        for values in rows:
            self.execute(statement, values)
        return len(rows)

    def _on_sqlite(self, statement: str, values: Any) -> None:
        link = self.connection.link
        if not link.in_transaction:
            link.execute("BEGIN")
        plain = re.sub(r"%\((\w+)\)s", r":\1", statement).replace("%%", "%").replace("FOR UPDATE", "")
        found = link.execute(plain, values or {})
        self.description, self.rowcount, self.lastrowid = found.description, found.rowcount, found.lastrowid
        self._rows = found.fetchall()

    def fetchone(self) -> Any:
        """The next row."""
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        found, self._rows = self._rows, []
        return found

    def close(self) -> None:
        """Nothing to close."""
