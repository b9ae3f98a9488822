"""Volumes: a status that disagrees with its attachments, and rows that were lost."""

from typing import Any

from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.database import RowChange
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, NotStarted, Seen
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import ApiStep, Databases, RowStep

Row = dict[str, Any]
# Seconds for cinder to show what it was told.
SHOWN_WITHIN = 60.0


class ResetStatus(ApiStep):
    """Make a volume's status agree with its attachments (block storage API: os-reset_status).

    Status and attach status always go together: "in-use" is refused by cinder without an attachment, which
    is the one guard there is. Undo: the status as it was; the attach status as it was too, by SQL, because
    "detached" through the API would delete the attachment.
    """

    slug = "volume.reset-status"
    title = "make the volume's status agree with its attachments"

    def __init__(self, volume: str, status: str, attach_status: str, was: dict[str, Any], why: str = "") -> None:
        super().__init__(volume, why)
        self.status = status
        self.attach_status = attach_status
        self.was = was

    def call(self) -> ApiCall:
        """Both of the row's summaries at once."""
        body = {"os-reset_status": {"status": self.status, "attach_status": self.attach_status}}
        return ApiCall("block-storage", "POST", f"/volumes/{self.target}/action", body)

    def observe(self, record: Record, polls: Polls, databases: Databases) -> Seen:
        """Done when the volume says so (and its row, where we can read it)."""
        found = self._found(polls, databases)
        if found == self._wanted(found):
            return Done(found)
        if not record.acted and found["status"] != self.was["status"]:
            raise NeedsHands(
                f"volume {self.target} was {self.was['status']} when the plan was made and is {found['status']} now: "
                "make a new plan"
            )
        return NotStarted(found)

    def confirm(self, record: Record, journal: Journal, polls: Polls, databases: Databases) -> Evidence:
        """Cinder shows it."""

        def shown(row: Row | None) -> bool | None:
            return True if row and row["status"] == self.status else None

        polls.volumes.wait(self.target, shown, SHOWN_WITHIN, journal.check)
        return self._found(polls, databases)

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls, databases: Databases) -> Evidence:
        """Put the row's status (and attach status) back, if they still are what was written."""
        found, before = self._found(polls, databases), record.before
        if found == before:
            return {"already": True}
        if found != self._wanted(found):
            raise ChangedSince(
                f"volume {self.target} was made {self.status} by this run and is {found['status']} now: "
                "somebody else changed it, so it stays as it is"
            )
        journal.undoing(self.name, record, found)
        if "cinder" in databases:
            change = RowChange("cinder", "volumes", {"id": self.target}, before, expect=found)
            databases["cinder"].change([change])
        else:
            body = {"os-reset_status": {"status": before["status"]}}
            call = ApiCall("block-storage", "POST", f"/volumes/{self.target}/action", body)
            cloud.send(call, str(record.request_id))
        return {"restored": before}

    def _wanted(self, found: dict[str, Any]) -> dict[str, Any]:
        wanted = {"status": self.status, "attach_status": self.attach_status}
        return {name: wanted[name] for name in found}

    def _found(self, polls: Polls, databases: Databases) -> dict[str, Any]:
        if "cinder" in databases:
            rows = databases["cinder"].rows("volumes", {"id": self.target}, ["status", "attach_status"])
            if rows:
                return rows[0]
        row = polls.volumes.look(self.target)
        if row is None:
            raise NeedsHands(f"volume {self.target} no longer exists: skip this step, or abandon the run")
        return {"status": row["status"]}


class RestoreAttachment(RowStep):
    """Bring back an attachment that a reset deleted in cinder, while nova still names it.

    Nova 28 and later deletes, at the next reboot, every block device whose attachment cinder doesn't know,
    root disks too. No API brings a deleted attachment back; its row is still there, marked deleted.
    """

    slug = "attachment.restore"
    title = "bring the deleted attachment back, before nova's reboot would drop the disk"

    def __init__(self, attachment: str, server: str, volume: str, why: str = "") -> None:
        super().__init__(attachment, why)
        self.server = server
        self.volume = volume

    def changes(self) -> list[RowChange]:
        """The one row, by its id: never by volume, which may have older attachments."""
        return [
            RowChange(
                "cinder",
                "volume_attachment",
                {"id": self.target},
                {"deleted": 0, "deleted_at": None, "detach_time": None, "attach_status": "attached"},
                expect={"volume_id": self.volume, "instance_uuid": self.server},
            )
        ]


class LegacyReset(RowStep):
    """The guides' own statements, for a cinder that still keeps the attachment in the volumes row.

    In the guides' order (nova admin guide, "Recover cloud after disaster", step 2), for one captured volume,
    never for one that is being deleted.
    """

    slug = "volume.legacy-reset"
    title = "mark the volume available and detached (schema before volume_attachment)"

    def __init__(self, volume: str, row: dict[str, Any], why: str = "") -> None:
        super().__init__(volume, why)
        self.row = row

    def changes(self) -> list[RowChange]:
        """mountpoint, status, attach_status, then the instance column that this schema has."""
        instance: dict[str, Any] = {"instance_uuid": None} if "instance_uuid" in self.row else {"instance_id": 0}
        ordered: list[dict[str, Any]] = [
            {"mountpoint": None},
            {"status": "available"},
            {"attach_status": "detached"},
            instance,
        ]
        return [
            RowChange("cinder", "volumes", {"id": self.target}, values, {name: self.row[name] for name in values})
            for values in ordered
        ]


class DropMapping(RowStep):
    """Delete nova's mapping of a volume, as nova itself deletes rows, so that the volume can be attached again."""

    slug = "mapping.drop"
    title = "delete nova's mapping of the volume (schema before volume_attachment)"

    def __init__(self, server: str, volume: str, row: int, why: str = "") -> None:
        super().__init__(f"{volume}@{server}", why)
        self.server = server
        self.volume = volume
        self.row = row

    def changes(self) -> list[RowChange]:
        """The one row, while it is this volume's on this server."""
        expected = {"volume_id": self.volume, "instance_uuid": self.server, "deleted": 0}
        return [RowChange("nova", "block_device_mapping", {"id": self.row}, {"deleted": self.row}, expected)]
