"""Where a service's database is, from its own configuration file; and the engine that leads there."""

import configparser
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import URL, Engine, make_url

from stackmend.errors import BadInput

_READ_TIMEOUT = 60
_BUSY_SECONDS = 20


def database_url_from_conf(path: str | Path, section: str = "database") -> str:
    """The ``connection`` of a nova.conf, cinder.conf or neutron.conf, password included: never show it.

    Raises BadInput when the file can't be read or names no connection.
    """
    # oslo.config inherits nothing from [DEFAULT], allows repeated names (the last counts) and plain %.
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, delimiters=("=",), default_section="(none)", allow_no_value=True
    )
    try:
        parser.read_string(Path(path).read_text())
    except OSError as error:
        raise BadInput(f"{path} could not be read ({error.strerror}): run as a user who may read it.") from None
    except (configparser.Error, ValueError, AttributeError):
        # A parser's message would quote the line, and the line may hold the password. Python's own parser stumbles
        # over a name without a value that is continued (AttributeError).
        raise BadInput(f"{path} is no configuration file of OpenStack: a line in it can't be read.") from None
    value = (parser.get(section, "connection", fallback=None) or "").strip()
    if value[:1] == value[-1:] and value[:1] in ("'", '"'):
        value = value[1:-1]
    if not value:
        raise BadInput(f"{path} has no connection in [{section}]: name the file that the service itself reads.")
    return value.replace("$$", "$").replace("\\$", "$")


def usable_url(name: str, text: str) -> URL:
    """The URL with the driver that we bring, and without what only oslo.db understands.

    Raises BadInput when it is no URL, or no MySQL, MariaDB or existing SQLite database.
    """
    try:
        url = make_url(text)
        kind = url.get_backend_name()
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise BadInput(f"The address of the {name} database is no database URL.") from None
    if kind == "sqlite":
        if not url.database or not Path(url.database).is_file():
            raise BadInput(f"The {name} database {url.database} does not exist.")
        return url.set(drivername="sqlite")
    if kind not in ("mysql", "mariadb"):
        raise BadInput(f"The {name} database is {kind}: only MySQL, MariaDB and SQLite are known.")
    kept = {key: value for key, value in url.query.items() if key not in ("charset", "plugin")}
    return url.set(drivername="mysql+pymysql", query={**kept, "charset": "utf8mb4"})


def engine_for(url: URL, connect_timeout: int) -> Engine:
    """A pooled engine that hides parameters from its errors, and never waits for ever."""
    common: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": True, "pool_timeout": 60}
    if url.get_backend_name() == "sqlite":
        engine = sqlalchemy.create_engine(url, connect_args={"timeout": _BUSY_SECONDS}, **common)
        sqlalchemy.event.listen(engine, "connect", _prepare_sqlite)
        sqlalchemy.event.listen(engine, "begin", _begin_sqlite)
        return engine
    timeouts = {
        "connect_timeout": connect_timeout,
        "read_timeout": _READ_TIMEOUT,
        "write_timeout": _READ_TIMEOUT,
    }
    return sqlalchemy.create_engine(
        url, isolation_level="READ COMMITTED", connect_args=timeouts, pool_recycle=1800, **common
    )


def _prepare_sqlite(link: Any, _record: Any) -> None:
    # Python's own idea of when to begin would take the write lock too late, after the row was read.
    link.isolation_level = None
    link.execute("PRAGMA journal_mode=WAL")
    link.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(link: sqlalchemy.Connection) -> None:
    if link.get_execution_options().get("writes"):
        link.exec_driver_sql("BEGIN IMMEDIATE")
