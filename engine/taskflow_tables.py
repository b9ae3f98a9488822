"""TaskFlow's three tables, as it defines them (a test holds them to that), without importing TaskFlow.

Who only looks at a run (`stackmend status`) would wait longer for TaskFlow's import than for all else. On MySQL they
hold more than TaskFlow's 64 KB: of a step's results, and of its record.
"""

import json
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import types

# A text of any length: a plan of thousands of servers is megabytes. MySQL makes a LONGTEXT of it.
LONG = sa.UnicodeText().with_variant(sa.UnicodeText(2**24), "mysql", "mariadb")


class Json(types.TypeDecorator[Any]):
    """A JSON document, as text where the database has no such type."""

    impl = LONG
    hashable = False
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> types.TypeEngine[Any]:
        """PostgreSQL has one."""
        return dialect.type_descriptor(sa.JSON() if dialect.name == "postgresql" else self.impl)

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """As it is stored."""
        if value is None or dialect.name == "postgresql":
            return value
        try:
            return json.dumps(value)
        except TypeError:
            # The arguments of somebody's exception may be anything.
            from oslo_serialization import jsonutils

            return jsonutils.dumps(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """As it was."""
        return value if value is None or dialect.name == "postgresql" else json.loads(value)


class Tables(NamedTuple):
    """By TaskFlow's names for them."""

    logbooks: sa.Table
    flowdetails: sa.Table
    atomdetails: sa.Table


def make(metadata: sa.MetaData) -> Tables:
    """All three, in ``metadata``."""
    return Tables(
        sa.Table("logbooks", metadata, *_times(), sa.Column("meta", Json), _name(), _uuid()),
        sa.Table(
            "flowdetails",
            metadata,
            *_times(),
            _parent("logbooks.uuid"),
            sa.Column("meta", Json),
            _name(),
            sa.Column("state", sa.String(255)),
            _uuid(),
        ),
        sa.Table(
            "atomdetails",
            metadata,
            *_times(),
            sa.Column("meta", Json),
            _parent("flowdetails.uuid"),
            _name(),
            sa.Column("version", sa.String(64)),
            sa.Column("state", sa.String(255)),
            _uuid(),
            sa.Column("failure", Json),
            sa.Column("results", Json),
            sa.Column("revert_results", Json),
            sa.Column("revert_failure", Json),
            sa.Column("atom_type", sa.Enum("RETRY_DETAIL", "TASK_DETAIL", name="atom_types")),
            sa.Column("intention", sa.Enum(*_INTENTIONS, name="intentions")),
        ),
    )


_INTENTIONS = ("EXECUTE", "IGNORE", "REVERT", "RETRY")


def _times() -> tuple[sa.Column[Any], sa.Column[Any]]:
    return sa.Column("created_at", sa.DateTime), sa.Column("updated_at", sa.DateTime)


def _name() -> sa.Column[Any]:
    return sa.Column("name", sa.String(255))


def _uuid() -> sa.Column[Any]:
    return sa.Column("uuid", sa.String(64), primary_key=True, nullable=False, unique=True)


def _parent(column: str) -> sa.Column[Any]:
    return sa.Column("parent_uuid", sa.String(64), sa.ForeignKey(column, ondelete="CASCADE"))
