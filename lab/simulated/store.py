"""One SQLite file of the simulated cloud: rows, snapshots, and what other processes changed in it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = sqlite3.Row

AUDIT_TABLE = (
    "CREATE TABLE lab_audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT, tbl TEXT, op TEXT, old TEXT, new TEXT)"
)


class Database:
    """Rows of one service, readable and writable by other processes at the same time (WAL).

    Triggers note every change of an audited table in ``lab_audit``. A temporary trigger, which exists
    for this connection only, makes that note a no-op for the simulator's own writes; so what is left
    there was done by somebody else.
    """

    def __init__(self, path: Path, ddl: list[str], audited: tuple[str, ...] = ()) -> None:
        self.path = path
        self._snapshots: dict[str, sqlite3.Connection] = {}
        self._link = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        self._link.row_factory = sqlite3.Row
        self._link.execute("PRAGMA journal_mode=WAL")
        self._link.execute("PRAGMA synchronous=OFF")
        for statement in ddl:
            self._link.execute(statement)
        self._watch(audited)
        self._seen = self._data_version()

    def _watch(self, tables: tuple[str, ...]) -> None:
        self._link.execute(AUDIT_TABLE)
        for table in tables:
            for statement in self._audit_triggers(table):
                self._link.execute(statement)
        self._link.execute(
            "CREATE TEMP TRIGGER own_writes BEFORE INSERT ON main.lab_audit BEGIN SELECT RAISE(IGNORE); END"
        )

    def _audit_triggers(self, table: str) -> Iterator[str]:
        columns = [row["name"] for row in self.all(f"PRAGMA table_info({table})")]
        old, new = (
            "json_object(" + ", ".join(f"'{c}', {side}.\"{c}\"" for c in columns) + ")" for side in ("OLD", "NEW")
        )
        for op, before, after in (("UPDATE", old, new), ("INSERT", "NULL", new), ("DELETE", old, "NULL")):
            yield (
                f"CREATE TRIGGER lab_{table}_{op} AFTER {op} ON {table} BEGIN INSERT INTO lab_audit "
                f"(at, tbl, op, old, new) VALUES (strftime('%Y-%m-%d %H:%M:%f', 'now'), '{table}', '{op}', "
                f"{before}, {after}); END"
            )

    def _data_version(self) -> int:
        return int(self._link.execute("PRAGMA data_version").fetchone()[0])

    def outside_changes(self) -> list[dict[str, Any]]:
        """What other connections changed since the last call, in order; read once, then forgotten here.

        Each: at, table, op (UPDATE, INSERT, DELETE), key, changed {column: [old, new]}.
        """
        version = self._data_version()
        if version == self._seen:
            return []
        self._seen = version
        rows = self.all("SELECT * FROM lab_audit ORDER BY seq")
        if rows:
            self.write("DELETE FROM lab_audit WHERE seq <= ?", rows[-1]["seq"])
        return [_change(row) for row in rows]

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Every row of a query."""
        return self._link.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> Row | None:
        """The first row of a query, or None."""
        row: Row | None = self._link.execute(sql, values).fetchone()
        return row

    def write(self, sql: str, *values: Any) -> int:
        """Run one statement; the number of rows it changed."""
        return self._link.execute(sql, values).rowcount

    def insert(self, table: str, **columns: Any) -> int:
        """Insert one row; its rowid."""
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        cursor = self._link.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))
        return cursor.lastrowid or 0

    def update(self, table: str, where: dict[str, Any], **columns: Any) -> int:
        """Set columns of the rows whose columns equal ``where``; the number of rows."""
        sets = ", ".join(f'"{name}" = ?' for name in columns)
        tests = " AND ".join(f'"{name}" = ?' for name in where)
        return self.write(f"UPDATE {table} SET {sets} WHERE {tests}", *columns.values(), *where.values())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is one transaction: all of it, or nothing when an exception leaves it."""
        self._link.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._link.execute("ROLLBACK")
            raise
        self._link.execute("COMMIT")

    def snapshot(self, name: str) -> None:
        """Keep the whole file as it is now under ``name``, in memory."""
        self._link.execute("DELETE FROM lab_audit")
        copy = self._snapshots.setdefault(name, sqlite3.connect(":memory:"))
        self._link.backup(copy)

    def restore(self, name: str) -> None:
        """Put the whole file back as it was at ``snapshot(name)``; KeyError when there is none."""
        self._snapshots[name].backup(self._link)
        self._seen = self._data_version()

    def close(self) -> None:
        """Close the connection; the file stays."""
        self._link.close()


def _change(row: Row) -> dict[str, Any]:
    old = json.loads(row["old"] or "{}")
    new = json.loads(row["new"] or "{}")
    image = new or old
    return {
        "at": row["at"],
        "table": row["tbl"],
        "op": row["op"],
        "key": image.get("uuid") or image.get("id") or image.get("port_id"),
        "changed": {c: [old.get(c), new.get(c)] for c in image if old.get(c) != new.get(c)},
    }
