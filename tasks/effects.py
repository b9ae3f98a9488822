"""What most steps share: an effect that is one API call, or rows of one database."""

from collections.abc import Mapping
from typing import Any

from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.database import Database, RowChange
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, NotStarted, Seen, Step
from stackmend.errors import NeedsHands

Databases = Mapping[str, Database]


class ApiStep(Step):
    """A step whose effect is one call to an OpenStack service."""

    def call(self) -> ApiCall:
        """The call, as the plan prints it and as it is sent."""
        raise NotImplementedError

    def effects(self) -> list[Any]:
        """The one call."""
        return [self.call()]

    def act(self, record: Record, cloud: Cloud) -> str:
        """Send it; returns the request id that the service answered."""
        return cloud.send(self.call(), str(record.request_id)).request_id


class RowStep(Step):
    """A step whose effect is rows of one database, each by its primary key, all in one transaction.

    Undo: puts exactly the columns that were changed back, if they still hold what was written.
    """

    def changes(self) -> list[RowChange]:
        """The statements, as the plan prints them and as they are run."""
        raise NotImplementedError

    def effects(self) -> list[Any]:
        """The statements."""
        return list(self.changes())

    def observe(self, record: Record, databases: Databases) -> Seen:
        """Look at the rows themselves: a transaction has happened or it has not."""
        images = [_image(databases, change) for change in self.changes()]
        written = _written(self.changes())
        if all(_holds(image, written[_place(change)]) for change, image in zip(self.changes(), images, strict=True)):
            return Done({"rows": len(images), "already": not record.acted})
        before = [
            {column: image[column] for column in change.values}
            for change, image in zip(self.changes(), images, strict=True)
        ]
        return NotStarted({"rows": before})

    def act(self, record: Record, databases: Databases) -> str:
        """Run the statements in one transaction."""
        changes = self.changes()
        databases[changes[0].database].change(changes)
        return ""

    def confirm(self, record: Record, journal: Journal, databases: Databases) -> Evidence:
        """Read the rows back."""
        seen = self.observe(record, databases)
        if not isinstance(seen, Done):
            raise NeedsHands(f"{self.name}: the rows were written and no longer hold it: somebody else writes to them")
        return seen.evidence

    def undo(self, record: Record, journal: Journal, databases: Databases) -> Evidence:
        """Put the before-image back."""
        changes, before = self.changes(), record.before["rows"]
        if all(_holds(_image(databases, change), image) for change, image in zip(changes, before, strict=True)):
            return {"rows": len(changes), "already": True}
        journal.undoing(self.name, record, {})
        back = [
            RowChange(change.database, change.table, change.key, image, expect=change.values)
            for change, image in zip(changes, before, strict=True)
        ]
        databases[changes[0].database].change(back[::-1])
        return {"rows": len(back)}


def _image(databases: Databases, change: RowChange) -> dict[str, Any]:
    rows = databases[change.database].rows(change.table, change.key)
    if len(rows) != 1:
        key = ", ".join(f"{name}={value}" for name, value in change.key.items())
        raise NeedsHands(f"{change.database}.{change.table} has no row with {key}: it was there when the plan was made")
    return rows[0]


def _place(change: RowChange) -> tuple[str, tuple[tuple[str, Any], ...]]:
    return change.table, tuple(change.key.items())


def _written(changes: list[RowChange]) -> dict[Any, dict[str, Any]]:
    """What each row holds after all the changes: several may be for one row."""
    written: dict[Any, dict[str, Any]] = {}
    for change in changes:
        written.setdefault(_place(change), {}).update(change.values)
    return written


def _holds(image: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(image[column] == value for column, value in values.items())
