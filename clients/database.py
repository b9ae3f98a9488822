"""The only SQL: reads of a service's rows, changes of single rows by their whole primary key, single new rows.

The schema is read from the database itself before any statement. All changes of one call are one transaction;
each row is locked, compared with what is expected, and changed, or nothing is.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from stackmend.clients.database_url import database_url_from_conf, engine_for, usable_url
from stackmend.clients.patience import patiently
from stackmend.clients.rows import RowChange, RowInsert, from_plain, literal, to_plain
from stackmend.clients.sql_failures import sql_failure
from stackmend.errors import BadInput, ChangedSince
from stackmend.pausing import before_an_effect

__all__ = ["Database", "RowChange", "RowInsert", "database_url_from_conf"]

CHUNK = 500


class Database:
    """The database of one service (``name``: nova, cinder, neutron), MySQL, MariaDB or SQLite.

    Many threads may share it. Every method may raise Unreachable, Unauthorized or Refused; ``patience`` is
    how many seconds a lock or a lost connection is tried again where that is safe.
    """

    def __init__(self, name: str, url: str, connect_timeout: int = 10, patience: float = 60.0) -> None:
        self.name = name
        self._url = usable_url(name, url)
        try:
            self._engine = engine_for(self._url, connect_timeout)
        except (SQLAlchemyError, TypeError, ValueError, ImportError):
            raise _unusable(name) from None
        self._patience = patience
        self._tables: dict[str, sa.TableClause] | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @property
    def schema(self) -> Mapping[str, Sequence[str]]:
        """The columns of every table, as the database itself has them."""
        return {name: list(table.c.keys()) for name, table in self._reflected().items()}

    def has(self, table: str, *columns: str) -> bool:
        """True when the table exists with all these columns."""
        found = self._reflected().get(table)
        return found is not None and all(column in found.c for column in columns)

    def rows(self, table: str, where: Mapping[str, Any], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Rows as JSON values; a sequence in ``where`` means any of it, None means NULL.

        Raises BadInput when the table or a column does not exist.
        """
        target = self._table(table, [*where, *(columns or [])])
        wanted = [target.c[name] for name in columns] if columns else list(target.c)
        found: list[dict[str, Any]] = []
        for part in _parts(where):
            tests = [_matches(target, name, value) for name, value in part.items()]
            found += self._read(sa.select(*wanted).where(*tests))
        return found

    def change(self, changes: Sequence[RowChange]) -> list[dict[str, Any]]:
        """Change the rows, all or none; returns, for each change, what its columns held before.

        Raises ChangedSince when a row is gone or holds something unexpected, BadInput when a table, column or
        key does not fit the schema (both before anything is written), and AnswerLost when the connection
        broke during the commit.
        """
        for one in changes:
            self._check(one)
        return patiently(lambda: self._transaction(changes), self._patience, before_an_effect) if changes else []

    def insert(self, one: RowInsert) -> bool:
        """Insert the row; False when there was one of the same ``unique`` columns, and nothing was done.

        Raises BadInput when a table or column does not fit the schema, and AnswerLost when the connection broke
        during the commit.
        """
        if one.database != self.name:
            raise BadInput(f"A row of the {one.database} database was given to the {self.name} database.")
        table = self._table(one.table, [*one.values, *one.unique])
        values = {name: _bound(table, name, value) for name, value in one.values.items()}
        return patiently(lambda: self._insert(table, one, values), self._patience, before_an_effect)

    def server_time(self) -> datetime:
        """The database server's clock, UTC."""
        sqlite = self._engine.dialect.name == "sqlite"
        clock = "strftime('%Y-%m-%d %H:%M:%f', 'now')" if sqlite else "UTC_TIMESTAMP(6)"
        (row,) = self._read(sa.select(sa.literal_column(clock).label("now")))
        return datetime.fromisoformat(row["now"]).replace(tzinfo=UTC)

    def _read(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        def once() -> list[dict[str, Any]]:
            try:
                with self._engine.connect() as link:
                    return [_plain(row) for row in link.execute(statement).mappings()]
            except SQLAlchemyError as error:
                raise sql_failure(error, self.name, self._url, committing=False) from error

        return patiently(once, self._patience)

    def _transaction(self, changes: Sequence[RowChange]) -> list[dict[str, Any]]:
        committing = False
        try:
            with self._engine.connect().execution_options(writes=True) as link, link.begin():
                before = [self._change_one(link, one) for one in changes]
                committing = True
        except SQLAlchemyError as error:
            raise sql_failure(error, self.name, self._url, committing) from error
        return before

    def _insert(self, table: sa.TableClause, one: RowInsert, values: Mapping[str, Any]) -> bool:
        known = [_matches(table, name, value) for name, value in one.key().items()]
        committing = False
        try:
            with self._engine.connect().execution_options(writes=True) as link, link.begin():
                found = link.execute(sa.select(sa.literal(1)).select_from(table).where(*known).with_for_update())
                if found.first() is not None:
                    return False
                # Without its key columns, which SQLAlchemy would want to know more of.
                bare = sa.table(table.name, *(sa.column(name, table.c[name].type) for name in values))
                link.execute(sa.insert(bare).values(values))
                committing = True
        except SQLAlchemyError as error:
            raise sql_failure(error, self.name, self._url, committing) from error
        return True

    def _change_one(self, link: sa.Connection, one: RowChange) -> dict[str, Any]:
        table = self._reflected()[one.table]
        key = [_matches(table, name, value) for name, value in one.key.items()]
        columns = [table.c[name] for name in one.columns()]
        found = [_plain(row) for row in link.execute(sa.select(*columns).where(*key).with_for_update()).mappings()]
        if len(found) != 1:
            raise ChangedSince(f"{_row_name(one)} is gone: look who deleted it, nothing was changed.")
        _compare(one, found[0], table)
        expected = [_matches(table, name, value) for name, value in one.expect.items()]
        values = {name: _bound(table, name, value) for name, value in one.values.items()}
        count = link.execute(sa.update(table).where(*key, *expected).values(values)).rowcount
        if count != 1:
            raise ChangedSince(f"{_row_name(one)} changed under the statement: nothing was changed.")
        return found[0]

    def _check(self, one: RowChange) -> None:
        if one.database != self.name:
            raise BadInput(f"A change of the {one.database} database was given to the {self.name} database.")
        table = self._table(one.table, one.columns())
        whole = [column.name for column in table.c if column.primary_key]
        if not whole or set(one.key) != set(whole):
            given = ", ".join(one.key) or "nothing"
            raise BadInput(
                f"{self.name}.{one.table} is changed by its whole primary key ({', '.join(whole) or 'none'}) "
                f"only, not by {given}."
            )
        if not one.values:
            raise BadInput(f"A change of {_row_name(one)} gives no values.")
        for name, value in {**one.key, **one.expect, **one.values}.items():
            _bound(table, name, value)

    def _table(self, name: str, columns: Sequence[str]) -> sa.TableClause:
        """The table; BadInput names what this schema lacks."""
        found = self._reflected().get(name)
        if found is None:
            raise BadInput(
                f"The {self.name} database has no table {name} that this account may read: grant it SELECT there, "
                "or this SQL is for another release."
            )
        missing = [column for column in columns if column not in found.c]
        if missing:
            raise BadInput(
                f"The {self.name} database has no column {', '.join(f'{name}.{one}' for one in missing)}: "
                "this SQL is for another release."
            )
        return found

    def _reflected(self) -> dict[str, sa.TableClause]:
        with self._lock:
            if self._tables is None:
                self._tables = patiently(self._reflect, self._patience)
            return self._tables

    def _reflect(self) -> dict[str, sa.TableClause]:
        try:
            inspector = sa.inspect(self._engine)
            columns, keys = inspector.get_multi_columns(), inspector.get_multi_pk_constraint()
        except SQLAlchemyError as error:
            raise sql_failure(error, self.name, self._url, committing=False) from error
        except (TypeError, ValueError, OverflowError, OSError):
            raise _unusable(self.name) from None
        tables = {}
        for (_, name), found in columns.items():
            whole = set(keys[None, name]["constrained_columns"])
            tables[name] = sa.table(name, *(_column(one["name"], one["type"], whole) for one in found))
        return tables


def _unusable(name: str) -> BadInput:
    # The driver's own words may quote the address, and the address holds the password.
    return BadInput(f"The address of the {name} database has a port or an option that its driver does not take.")


def _column(name: str, kind: Any, whole: set[str]) -> sa.ColumnClause[Any]:
    column: sa.ColumnClause[Any] = sa.column(name, kind)
    column.primary_key = name in whole
    return column


def _parts(where: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same condition, cut where its longest sequence has more values than one statement should."""
    lists = {name: value for name, value in where.items() if _is_list(value)}
    if not lists:
        yield dict(where)
        return
    longest = max(lists, key=lambda name: len(lists[name]))
    values = list(dict.fromkeys(lists[longest]))
    for start in range(0, len(values), CHUNK):
        yield {**where, longest: values[start : start + CHUNK]}


def _matches(table: sa.TableClause, name: str, value: Any) -> sa.ColumnElement[bool]:
    column = table.c[name]
    if _is_list(value):
        return column.in_([_bound(table, name, one) for one in value])
    return column.is_(None) if value is None else column == _bound(table, name, value)


def _compare(one: RowChange, found: Mapping[str, Any], table: sa.TableClause) -> None:
    """MySQL compares text loosely (case, trailing blanks); this does not."""
    for name, value in one.expect.items():
        if found[name] != to_plain(_bound(table, name, value)):
            now, then = literal(name, found[name]), literal(name, value)
            raise ChangedSince(
                f"{_row_name(one)} has {name} = {now} and {then} was expected: "
                "somebody else changed it, so nothing was changed."
            )


def _bound(table: sa.TableClause, name: str, value: Any) -> Any:
    return from_plain(value, table.c[name].type, f"{table.name}.{name}")


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): to_plain(value) for name, value in row.items()}


def _row_name(one: RowChange) -> str:
    key = ", ".join(f"{name}={value}" for name, value in one.key.items())
    return f"The row {key} of {one.database}.{one.table}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes)
