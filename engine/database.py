"""Opening the run store: a file of SQLite by default, MySQL/MariaDB or PostgreSQL for several controllers."""

import contextlib
import pathlib
import sqlite3
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa

from stackmend.engine import layout
from stackmend.errors import BadInput, StoreError

# A writer waits this long (seconds) for another process's transaction before it gives up.
BUSY_TIMEOUT = 15.0
# Seconds between two tries of a transaction.
_TRY_AGAIN = 0.1
# Seconds for a server to take a connection, and to answer: one that is cut off tells nobody that it is.
_CONNECT, _ANSWER = 5, 15
# Seconds after which a server ends a transaction of ours in which nothing happens (MySQL can't).
_IDLE_TRANSACTION = 5
# The same by each driver's names; what the URL itself says stands above it.
_PATIENCE: dict[str, dict[str, int]] = {
    "pymysql": {"connect_timeout": _CONNECT, "read_timeout": _ANSWER, "write_timeout": _ANSWER},
    "psycopg": {"connect_timeout": _CONNECT, "tcp_user_timeout": _ANSWER * 1000, "keepalives_idle": _CONNECT},
}
# Of each connection: the kernel keeps the file's pages too, and a plan that is read once would fill it.
_SQLITE_CACHE_KB = 512
T = TypeVar("T")

# What MySQL, MariaDB, Galera and PostgreSQL say of a transaction that they have rolled back: a lock was not to be had,
# a deadlock, another node's transaction came first.
_ROLLED_BACK = frozenset({1205, 1213, 1180, "40001", "40P01", "55P03"})
# A server that takes nothing at the moment (it starts, ends, follows another or has lost the others) or is gone.
_ELSEWHERE = frozenset(
    {1047, 1053, 1290, 1792, 1836, 1927, 2006, 2013, 2055, "25006", "25P03", "57P01", "57P02", "57P03"}
)


class Unsaved(StoreError):
    """A transaction of which the server has saved nothing: it may be asked again."""


def open_database(url: str) -> sa.Engine:
    """Return an engine for ``url`` with every table in place.

    A SQLite file is created, with its directory, when it is missing; it runs in WAL with synchronous=FULL,
    so that what was committed survives a power cut. Raises BadInput for an unusable URL and StoreError for
    a database that can't be opened, is not a run store, or can't be written.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise BadInput(
            "the run store's address is not a database URL: write sqlite:////path/file or mysql+pymysql://..."
        ) from None
    shown = parsed.render_as_string(hide_password=True)
    try:
        engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _server(parsed)
        with store_errors(shown):
            layout.prepare(engine)
    except (OSError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise StoreError(f"the run store {shown} can't be opened: {_reason(error)}") from None
    except (TypeError, ValueError, OverflowError):
        raise BadInput(f"the run store {shown} has a port or an option that its driver does not take") from None
    return engine


@contextlib.contextmanager
def store_errors(shown: str) -> Iterator[None]:
    """Turn the database's own errors into one sentence about the run store ``shown``."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(
            f"the run store {shown} failed: {_reason(error)}; nothing was lost, {_advice(error)}"
        ) from error


@contextlib.contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One write transaction; on SQLite it takes the write lock at its start, not in its middle.

    Raises Unsaved when a server has certainly saved nothing of it and may do so when it is asked again.
    """
    shown, committing = engine.url.render_as_string(hide_password=True), False
    try:
        with store_errors(shown), engine.connect().execution_options(stackmend_writes=True) as link, link.begin():
            yield link
            committing = True
    except StoreError as error:
        code, lost = _code(error.__cause__), getattr(error.__cause__, "connection_invalidated", False)
        if code in _ROLLED_BACK or (not committing and (lost or code in _ELSEWHERE)):
            raise Unsaved(str(error)) from error.__cause__
        raise


def saved(engine: sa.Engine, action: Callable[[sa.Connection], T]) -> T:
    """What ``action`` came to in one write transaction, tried again while the server says that it saved nothing of it.

    Raises StoreError once that has gone on for BUSY_TIMEOUT, and whatever else ``action`` raises.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            with writing(engine) as connection:
                return action(connection)
        except Unsaved:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_TRY_AGAIN)


@contextlib.contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One read-only look at the store."""
    with store_errors(engine.url.render_as_string(hide_password=True)), engine.connect() as connection:
        yield connection


def _sqlite(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise BadInput("the run store must be a file: a run kept in memory can't be resumed")
    _make_file(pathlib.Path(url.database).expanduser())
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False})
    sa.event.listen(engine, "do_connect", _sqlite_connecting)
    sa.event.listen(engine, "connect", _sqlite_connected)
    sa.event.listen(engine, "begin", _sqlite_begin)
    return engine


def _make_file(file: pathlib.Path) -> None:
    if file.exists():
        return
    log = file.with_name(f"{file.name}-wal")
    if log.exists():
        # SQLite would take the log for a leftover, and delete what was committed last.
        raise StoreError(
            f"the run store {file} is gone, and its log {log.name} is still there: put it back where it was, and "
            "nothing is lost; or move the log away too, and a new run store is made"
        )
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch()


def _sqlite_connecting(_dialect: Any, _record: Any, places: list[Any], options: dict[str, Any]) -> None:
    # A file that is gone is not made anew behind the back of those who have it open.
    places[0] = f"file:{urllib.parse.quote(places[0])}?mode=rw"
    options["uri"] = True


def _sqlite_connected(connection: Any, _record: Any) -> None:
    # Transactions are begun by _sqlite_begin, not by the driver at the first INSERT.
    connection.isolation_level = None
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        _into_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size=-{_SQLITE_CACHE_KB}")


def _into_wal(connection: Any) -> None:
    """Switch a new file to WAL; SQLite itself does not wait while another process is just doing so."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.05)


def _sqlite_begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("stackmend_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _server(url: sa.URL) -> sa.Engine:
    patience = _PATIENCE.get(url.get_driver_name(), {})
    given = {name: value for name, value in patience.items() if name not in url.query}
    engine = sa.create_engine(
        url, connect_args=given, pool_pre_ping=True, pool_recycle=3600, isolation_level="READ COMMITTED"
    )
    sa.event.listen(engine, "handle_error", _elsewhere)
    sa.event.listen(engine, "connect", _server_connected)
    return engine


def _server_connected(connection: Any, _record: Any) -> None:
    # A process that is stopped in the middle of a transaction would keep its rows locked for as long as it sleeps.
    with contextlib.closing(connection.cursor()) as cursor:
        if "MariaDB" in getattr(connection, "server_version", ""):
            cursor.execute(f"SET SESSION idle_transaction_timeout = {_IDLE_TRANSACTION}")
        elif hasattr(connection, "autocommit") and type(connection).__module__.startswith("psycopg"):
            cursor.execute(f"SET SESSION idle_in_transaction_session_timeout = {_IDLE_TRANSACTION * 1000}")
            connection.commit()


def _elsewhere(failed: sa.ExceptionContext) -> None:
    # The next connection may lead to another node; this one would lead to the same one for ever.
    if _code(failed.sqlalchemy_exception) in _ELSEWHERE:
        failed.is_disconnect = True


def _code(error: BaseException | None) -> int | str | None:
    original = getattr(error, "orig", None)
    arguments = getattr(original, "args", ())
    if arguments and isinstance(arguments[0], int):
        return arguments[0]
    return getattr(original, "sqlstate", None)


def _reason(error: BaseException) -> str:
    # The driver's own words, without SQLAlchemy's statement and parameters: those may hold captured data.
    original = getattr(error, "orig", None) or error
    return str(original).splitlines()[0] if str(original) else type(original).__name__


def _advice(error: BaseException) -> str:
    original = getattr(error, "orig", None)
    text = str(original).lower()
    if isinstance(original, sqlite3.DatabaseError) and ("not a database" in text or "malformed" in text):
        return "restore the file from a copy or name another one with --store"
    if "unable to open" in text:
        return "put the file back, make it and its directory writable, or name another one with --store"
    if "readonly" in text:
        return "make the file and its directory writable or name another one with --store"
    if "locked" in text:
        return "another process is writing to it: try again"
    if "full" in text:
        return "free some disk space, then resume"
    if "disk i/o" in text:
        return "look whether its disk is full, read-only or failing, then resume"
    return "check that the database is up, then try again"
