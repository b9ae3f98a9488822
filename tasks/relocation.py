"""A server moved by nova's database: the record of it, its rows, and the proof. The expert's way.

Nova writes a migration record when it evacuates; by it the old host's nova-compute, when it starts again, knows
which of its guests are gone, destroys its copies, and is not let up before. Who moves rows alone leaves a host
that starts the same guests again. So the record is written first.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from stackmend.clients.database import RowChange, RowInsert
from stackmend.clients.polls import Polls
from stackmend.engine import clock
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, NotStarted, Seen, Step, Wait
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import Databases, RowStep
from stackmend.tasks.servers import present, state_of

Row = dict[str, Any]
_OURS = uuid.UUID("0a3c9a52-5e5c-4d0e-9d0c-5d1a3b6f7e21")
_LEFT_ALONE = frozenset(["done", "completed"])


def record_id(server: str, source: str, moment: str) -> str:
    """The migration record's uuid: the same for the same server, source and plan."""
    return str(uuid.uuid5(_OURS, f"{server}/{source}/{moment}"))


class Tombstone(Step):
    """Write the migration record that an evacuation would have left, so that the old host gives its copy up.

    Nova's ``_destroy_evacuated_instances`` looks for records of type ``evacuation``, status ``done``, with the
    host as source. Undo: the record is marked failed and deleted, unless the old host has acted on it.
    """

    slug = "tombstone.insert"
    title = "write the record by which the old host gives its copy up when it returns"

    def __init__(self, server: str, values: Mapping[str, Any], why: str = "") -> None:
        super().__init__(server, why)
        self.values = values

    def insert(self) -> RowInsert:
        """The one row."""
        return RowInsert("nova", "migrations", self.values, ["uuid"])

    def effects(self) -> list[Any]:
        """The one statement."""
        return [self.insert()]

    def observe(self, record: Record, databases: Databases) -> Seen:
        """Look for the record by its uuid."""
        row = self._row(databases)
        if row is None:
            return NotStarted()
        if row["status"] not in _LEFT_ALONE or row["deleted"]:
            raise NeedsHands(
                f"migration record {self.values['uuid']} of server {self.target} was taken back "
                f"({row['status']}): make a new plan"
            )
        return Done({"migration": row["uuid"], "id": row["id"], "status": row["status"], "already": not record.acted})

    def act(self, databases: Databases) -> str:
        """Insert it, once."""
        databases["nova"].insert(self.insert())
        return ""

    def confirm(self, record: Record, databases: Databases) -> Evidence:
        """Read it back."""
        seen = self.observe(record, databases)
        if not isinstance(seen, Done):
            raise NeedsHands(f"{self.name}: the record was written and is not there: somebody deletes records")
        return seen.evidence

    def undo(self, record: Record, journal: Journal, databases: Databases) -> Evidence:
        """Take it back."""
        row = self._row(databases)
        if row is None or row["deleted"]:
            return {"already": True}
        if row["status"] != "done":
            raise ChangedSince(
                f"{self.values['source_compute']} has returned and destroyed its copy of server {self.target} (its "
                f"migration record is {row['status']}): that record stays"
            )
        journal.undoing(self.name, record, {"status": row["status"]})
        values = {"status": "failed", "deleted": row["id"], "deleted_at": clock.now()}
        change = RowChange("nova", "migrations", {"id": row["id"]}, values, expect={"status": "done", "deleted": 0})
        databases["nova"].change([change])
        return {"migration": row["uuid"], "status": "failed"}

    def _row(self, databases: Databases) -> Row | None:
        columns = ["id", "uuid", "status", "deleted"]
        rows = databases["nova"].rows("migrations", {"uuid": self.values["uuid"]}, columns)
        return rows[0] if rows else None


class MoveRows(RowStep):
    """Write where the server is: host, node and compute node together, in one statement (operations guide).

    Undo: the columns as they were, if nobody has moved it since.
    """

    slug = "server.move-rows"
    title = "write in nova's database that the server is on the other host"

    def __init__(self, server: str, row: int, values: Mapping[str, Any], was: Mapping[str, Any], why: str = "") -> None:
        super().__init__(server, why)
        self.row = row
        self.values = values
        self.was = was

    def changes(self) -> list[RowChange]:
        """One row, by its id, while it is where the plan found it and nova does nothing with it."""
        expect = {"uuid": self.target, "deleted": 0, "task_state": None, **self.was}
        return [RowChange("nova", "instances", {"id": self.row}, self.values, expect)]


class Moved(Wait):
    """The server, its volumes and its ports are all on the target. Undo: nothing to undo, it only reads."""

    slug = "server.moved"
    title = "prove it: nova, cinder and neutron have it on the target"

    def __init__(self, server: str, target: str, volumes: list[str], ports: list[str], seconds: float) -> None:
        super().__init__(server, seconds)
        self.to = target
        self.volumes = volumes
        self.ports = ports

    def confirm(self, record: Record, journal: Journal, polls: Polls) -> Evidence:
        """All three services say so before the deadline. Raises NeedsHands."""
        # Each is read by itself: a host that was written by SQL does not move the row's time of change.
        found = polls.servers.wait(self.target, self._server, self.seconds, journal.check, afresh=True)
        for volume in self.volumes:
            polls.volumes.wait(volume, self._volume, self.seconds, journal.check, afresh=True)
        for port in self.ports:
            polls.ports.wait(port, self._port, self.seconds, journal.check)
        return {**found, "volumes": self.volumes, "ports": self.ports}

    def _server(self, row: Row | None) -> Evidence | None:
        found = state_of(present(row, self.target))
        return found if found["host"] == self.to else None

    def _volume(self, row: Row | None) -> bool | None:
        attached = (row or {}).get("attachments") or []
        hosts = {item["host_name"] for item in attached if item["server_id"] == self.target}
        return True if hosts == {self.to} else None

    def _port(self, row: Row | None) -> bool | None:
        return True if row and row.get("binding:host_id") == self.to else None
