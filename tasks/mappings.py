"""Mappings: nova's record of a volume on a server, led to another attachment of it.

What a connection says may hold passwords (CHAP): it is read from cinder and written to nova within one step, and
only its digest is kept.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from stackmend.clients.cloud import Cloud
from stackmend.clients.database import RowChange
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, NotStarted, Seen, Step
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.connections import OfDisk, attachment
from stackmend.tasks.effects import Databases

Row = dict[str, Any]
_BDM = ["id", "attachment_id", "connection_info", "volume_id", "instance_uuid", "deleted"]


class SwitchMapping(Step):
    """Lead nova's mapping of the volume to the new attachment and its connection, in one statement.

    A reboot plugs what nova has stored, so that must be the new host's. Undo: the old attachment, and its
    connection as cinder still has it; the evidence says whether that is to the letter what nova had.
    """

    slug = "mapping.switch"
    title = "lead nova's mapping to the new attachment, with its connection"

    def __init__(self, server: str, disk: Mapping[str, Any]) -> None:
        self.disk = OfDisk(server, disk)
        super().__init__(self.disk.name)
        self.row = int(disk["bdm_id"])
        self.multiattach = bool(disk["multiattach"])

    def effects(self) -> list[Any]:
        """The one statement, without what only cinder knows."""
        return [self._change("{the new attachment}", "{as cinder has it}", self.disk.old)]

    def observe(self, cloud: Cloud, databases: Databases) -> Seen:
        """Look at the row. Raises NeedsHands when it names an attachment that is neither."""
        row, new = self._row(databases), self.disk.made(cloud)
        if row["attachment_id"] == new:
            return Done({"attachment_id": new, "connection_digest": _digest(row["connection_info"])})
        if row["attachment_id"] != self.disk.old:
            raise NeedsHands(
                f"nova's mapping of volume {self.disk.volume} on server {self.disk.server} names attachment "
                f"{row['attachment_id']}, and named {self.disk.old} when the plan was made: make a new plan"
            )
        return NotStarted({"connection_digest": _digest(row["connection_info"])})

    def act(self, cloud: Cloud, databases: Databases) -> str:
        """Read the connection from cinder and write it; it is kept nowhere else."""
        new = self.disk.made(cloud)
        databases["nova"].change([self._change(new, self._connection(cloud, new), self.disk.old)])
        return ""

    def confirm(self, cloud: Cloud, databases: Databases) -> Evidence:
        """The row names the new attachment and holds its connection."""
        row, new = self._row(databases), self.disk.made(cloud)
        found = _digest(row["connection_info"])
        if row["attachment_id"] != new or found != _digest(self._connection(cloud, new)):
            raise NeedsHands(f"{self.name}: the mapping was written and no longer holds it: somebody else writes to it")
        return {"attachment_id": new, "connection_digest": found}

    def undo(self, record: Record, journal: Journal, cloud: Cloud, databases: Databases) -> Evidence:
        """Lead it back."""
        row = self._row(databases)
        if row["attachment_id"] == self.disk.old:
            return {"already": True}
        new = self.disk.made(cloud)
        if row["attachment_id"] != new:
            raise ChangedSince(f"nova's mapping of volume {self.disk.volume} names {row['attachment_id']} by now")
        old = self._connection(cloud, self.disk.old)
        journal.undoing(self.name, record, {"attachment_id": new})
        databases["nova"].change([self._change(self.disk.old, old, new)])
        return {"attachment_id": self.disk.old, "to_the_letter": _digest(old) == record.before["connection_digest"]}

    def _row(self, databases: Databases) -> Row:
        rows = databases["nova"].rows("block_device_mapping", {"id": self.row}, _BDM)
        if not rows or rows[0]["deleted"]:
            raise NeedsHands(f"nova has no mapping of volume {self.disk.volume} on server {self.disk.server} any more")
        return rows[0]

    def _change(self, named: str, connection: str, instead_of: str) -> RowChange:
        values = {"attachment_id": named, "connection_info": connection}
        expect = {"volume_id": self.disk.volume, "instance_uuid": self.disk.server, "deleted": 0}
        return RowChange(
            "nova", "block_device_mapping", {"id": self.row}, values, {**expect, "attachment_id": instead_of}
        )

    def _connection(self, cloud: Cloud, named: str) -> str:
        return connection_of(attachment(cloud, named), self.multiattach)


def connection_of(found: Row, multiattach: bool) -> str:
    """What nova stores in a mapping when it attaches (nova.volume.cinder, nova.virt.block_device)."""
    data = {name: value for name, value in found["connection_info"].items() if name != "attachment_id"}
    kind = data.pop("driver_volume_type", None)
    stored = {
        "driver_volume_type": kind,
        "data": data,
        "status": "reserved",
        "instance": found["instance"],
        "attached_at": "",
        "detached_at": "",
        "volume_id": found["volume_id"],
        "serial": found["volume_id"],
    }
    return json.dumps({**stored, "multiattach": True} if multiattach else stored)


def _digest(connection: str | None) -> str:
    known = json.dumps(json.loads(connection or "{}"), sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()
