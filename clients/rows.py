"""One row's change, or one new row, as a value: printed in a plan as the statement it is, then run as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import types

from stackmend.errors import BadInput

_SECRET_COLUMNS = frozenset({"connection_info", "provider_auth", "user_data", "key_data"})


@dataclass(frozen=True)
class RowChange:
    """New ``values`` for ONE row, by its whole primary key, while ``expect`` still holds.

    Values are JSON: times are ISO 8601 text in UTC, None is NULL.
    """

    database: str
    table: str
    key: Mapping[str, Any]
    values: Mapping[str, Any]
    expect: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """The statement for people, literal values quoted; contents that may be secret are shown as '***'."""
        assigned = ", ".join(f"{name} = {literal(name, value)}" for name, value in self.values.items())
        tests = [_test(name, value) for name, value in {**self.key, **self.expect}.items()]
        return f"UPDATE {self.database}.{self.table} SET {assigned} WHERE {' AND '.join(tests)}"

    def columns(self) -> list[str]:
        """Every column that the change names."""
        return list({**self.key, **self.values, **self.expect})

    def to_json(self) -> dict[str, Any]:
        """The change as plain JSON, complete; ``from_json`` gives an equal change back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RowChange":
        """The change that ``to_json`` wrote. Raises BadInput when a field is missing or unknown."""
        try:
            return cls(**data)
        except TypeError as error:
            raise BadInput(f"A stored row change is not whole ({error}): make the plan again.") from None


@dataclass(frozen=True)
class RowInsert:
    """ONE new row, unless the table has one already that is the same in the columns of ``unique``.

    Values are JSON: times are ISO 8601 text in UTC, None is NULL.
    """

    database: str
    table: str
    values: Mapping[str, Any]
    unique: Sequence[str]

    def text(self) -> str:
        """The statement for people, literal values quoted; contents that may be secret are shown as '***'."""
        names = ", ".join(self.values)
        given = ", ".join(literal(name, value) for name, value in self.values.items())
        return f"INSERT INTO {self.database}.{self.table} ({names}) VALUES ({given})"

    def key(self) -> dict[str, Any]:
        """What the row is known by."""
        return {name: self.values[name] for name in self.unique}

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON, complete."""
        return asdict(self)


def to_plain(value: Any) -> Any:
    """A database value as JSON: times as ISO 8601 with microseconds, booleans as MySQL has them (0, 1)."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    return value.hex() if isinstance(value, bytes) else value


def from_plain(value: Any, kind: types.TypeEngine[Any], where: str) -> Any:
    """A JSON value as the column's type takes it. Raises BadInput for text that is no time."""
    if isinstance(kind, types.DateTime) and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise BadInput(f"{where} takes a time and {value!r} is none.") from None
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return bool(value) if isinstance(kind, types.Boolean) and value in (0, 1) else value


def _test(name: str, value: Any) -> str:
    return f"{name} IS NULL" if value is None else f"{name} = {literal(name, value)}"


def literal(name: str, value: Any) -> str:
    """A column's value as SQL text for people; contents that may be secret are shown as '***'."""
    if value is None:
        return "NULL"
    if name in _SECRET_COLUMNS:
        return "'***'"
    if isinstance(value, bool | int | float):
        return str(int(value) if isinstance(value, bool) else value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"
