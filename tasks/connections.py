"""Connections: a volume's attachment made for another host, and the old host's deleted.

As nova does it when it evacuates: a second attachment, with the new host's connector; nova's mapping is led to it
(tasks/mappings.py); the first one is deleted, and the back end forgets the old host. To rewrite the first one in
place would leave the old host's rights at the back end for ever.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Step
from stackmend.errors import NeedsHands
from stackmend.tasks.effects import ApiStep

Row = dict[str, Any]
CREATE_VERSIONS = ("3.27", "3.54")
_COMPLETE = "3.44"
_LOOK_EVERY = 0.5


class OfDisk:
    """One volume of one server: ``old`` is the attachment that nova named when the plan was made."""

    def __init__(self, server: str, disk: Mapping[str, Any]) -> None:
        self.server = server
        self.volume = str(disk["volume_id"])
        self.old = str(disk["nova_attachment"])
        self.name = f"{self.volume}@{server}"

    def new(self, cloud: Cloud) -> str | None:
        """The attachment that was made. Raises NeedsHands when there are several."""
        found = [
            row["id"]
            for row in reads.volume_attachments(cloud, self.volume)
            if row["instance"] == self.server and row["id"] != self.old
        ]
        if len(found) > 1:
            raise NeedsHands(
                f"cinder has {len(found)} new attachments of volume {self.volume} to server {self.server} "
                f"({', '.join(found)}): delete those that nova does not name, then retry"
            )
        return found[0] if found else None

    def made(self, cloud: Cloud) -> str:
        """The same, which must be there."""
        found = self.new(cloud)
        if found is None:
            raise NeedsHands(f"the new attachment of volume {self.volume} to server {self.server} is gone from cinder")
        return found


class CreateAttachment(ApiStep):
    """A second attachment of a volume, for the host that its server goes to (block storage API: attachments).

    Cinder allows it for the same server, as for a live migration, and exports the volume to the new host.
    Undo: delete it, which cinder allows while nova names another.
    """

    slug = "attachment.create"
    title = "attach the volume from the other host"

    def __init__(
        self, server: str, disk: Mapping[str, Any], connector: Mapping[str, Any], version: str, seconds: float
    ) -> None:
        self.disk = OfDisk(server, disk)
        super().__init__(self.disk.name)
        self.connector = {**connector, "mountpoint": disk["device"]}
        # Cinder keeps the word null where it was told none.
        self.mode = "ro" if disk["mode"] == "ro" else "rw"
        self.version = version
        self.seconds = seconds

    def call(self) -> ApiCall:
        """The one call."""
        given: Row = {"volume_uuid": self.disk.volume, "instance_uuid": self.disk.server, "connector": self.connector}
        if self.version == CREATE_VERSIONS[-1]:
            given["mode"] = self.mode
        else:
            given["connector"] = {**self.connector, "mode": self.mode}
        return ApiCall("block-storage", "POST", "/attachments", {"attachment": given}, self.version)

    def observe(self, record: Record, cloud: Cloud) -> Seen:
        """Done when cinder has it, connected; under way while it is only reserved."""
        new = self.disk.new(cloud)
        if new is None:
            return NotStarted()
        if not record.acted:
            raise NeedsHands(
                f"cinder has attachment {new} of volume {self.disk.volume} to server {self.disk.server}, which the "
                "plan did not find: make a new plan"
            )
        found = attachment(cloud, new)
        return Done(_shown(found)) if _connected(found) else InFlight()

    def confirm(self, record: Record, journal: Journal, cloud: Cloud) -> Evidence:
        """Cinder shows its connection. Raises NeedsHands at the deadline."""
        for _ in range(max(1, int(self.seconds / _LOOK_EVERY))):
            found = attachment(cloud, self.disk.made(cloud))
            if _connected(found):
                return _shown(found)
            journal.pause(_LOOK_EVERY)
        raise NeedsHands(
            f"cinder took the attachment of volume {self.disk.volume} and has not connected it after "
            f"{self.seconds:.0f} s: see cinder-volume's log for {record.answered or record.request_id}"
        )

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """Delete it."""
        new = self.disk.new(cloud)
        if new is None:
            return {"already": True}
        journal.undoing(self.name, record, {"attachment_id": new})
        cloud.send(_delete(new), str(record.request_id))

        def free(row: Row | None) -> Evidence | None:
            return {"attachment_id": new, "status": "in-use"} if row and row["status"] == "in-use" else None

        return polls.volumes.wait(self.disk.volume, free, self.seconds, journal.check, afresh=True)


class CompleteAttachment(Step):
    """Tell cinder that the new attachment is in use (block storage API: os-complete, 3.44).

    Undo: nothing of its own: deleting the attachment takes it back.
    """

    slug = "attachment.complete"
    title = "tell cinder that the new attachment is in use"

    def __init__(self, server: str, disk: Mapping[str, Any]) -> None:
        self.disk = OfDisk(server, disk)
        super().__init__(self.disk.name)

    def effects(self) -> list[Any]:
        """The one call; the attachment's id is cinder's to give."""
        return [_complete("{the new attachment}")]

    def observe(self, record: Record, cloud: Cloud) -> Seen:
        """Cinder says attached, or not yet."""
        found = attachment(cloud, self.disk.made(cloud))
        return Done(_shown(found)) if found["status"] == "attached" else NotStarted()

    def act(self, record: Record, cloud: Cloud) -> str:
        """Send it."""
        return cloud.send(_complete(self.disk.made(cloud)), str(record.request_id)).request_id

    def confirm(self, record: Record, cloud: Cloud) -> Evidence:
        """Cinder says attached."""
        seen = self.observe(record, cloud)
        if not isinstance(seen, Done):
            raise NeedsHands(f"cinder took the completion of {self.name} and does not show it")
        return seen.evidence

    def undo(self) -> Evidence:
        """Nothing of its own."""
        return {"with": "the attachment itself"}


class DropAttachment(ApiStep):
    """Delete the attachment that the old host had: the back end forgets that host (block storage API).

    A reboot does it itself with nova 28 and later. Undo: none, its connection is gone.
    """

    slug = "attachment.drop"
    title = "delete the old host's attachment"
    undoable = False

    def __init__(self, server: str, disk: Mapping[str, Any], rebooted: bool) -> None:
        self.disk = OfDisk(server, disk)
        super().__init__(self.disk.name, when="only if the reboot left it" if rebooted else "always")

    def call(self) -> ApiCall:
        """The one call; cinder refuses it while nova names this attachment."""
        return _delete(self.disk.old)

    def observe(self, record: Record, cloud: Cloud) -> Seen:
        """Done when cinder has none of that id."""
        if cloud.find("block-storage", f"/attachments/{self.disk.old}", microversion=_COMPLETE) is None:
            return Done({"attachment_id": self.disk.old, "already": not record.acted})
        self.disk.made(cloud)
        return NotStarted()

    def confirm(self, record: Record, cloud: Cloud) -> Evidence:
        """Cinder has none of that id."""
        seen = self.observe(record, cloud)
        if not isinstance(seen, Done):
            raise NeedsHands(f"cinder took the deletion of attachment {self.disk.old} and still shows it")
        return seen.evidence


def attachment(cloud: Cloud, wanted: str) -> Row:
    """One attachment with its connection, secrets and all. Raises NeedsHands."""
    found = cloud.find("block-storage", f"/attachments/{wanted}", microversion=_COMPLETE)
    if found is None:
        raise NeedsHands(f"cinder has no attachment {wanted} any more: look who deleted it")
    return dict(found["attachment"])


def _connected(attachment: Row) -> bool:
    return bool(attachment["connection_info"])


def _shown(attachment: Row) -> Evidence:
    return {"attachment_id": attachment["id"], "status": attachment["status"]}


def _complete(attachment: str) -> ApiCall:
    return ApiCall("block-storage", "POST", f"/attachments/{attachment}/action", {"os-complete": {}}, _COMPLETE)


def _delete(attachment: str) -> ApiCall:
    return ApiCall("block-storage", "DELETE", f"/attachments/{attachment}", None, _COMPLETE)
