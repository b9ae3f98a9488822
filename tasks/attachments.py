"""Attachments: a volume taken off a server and hung on it again, at the device it had."""

from typing import Any

from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.poll import look_together
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Wait
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import ApiStep
from stackmend.tasks.servers import RUNNING, present, state_of

Row = dict[str, Any]


_UP = ("active", None, RUNNING)
_FREE = frozenset(["available", "in-use"])
# Of a volume that hangs here already: a shared one is just being hung on another server, or taken off it.
_ANOTHERS = frozenset(["reserved", "attaching", "detaching"])


class Runs(Wait):
    """Wait until a server runs: a volume is taken off and hung on only while the guest is up. Undo: it only reads."""

    slug = "server.runs"
    title = "wait until the server runs"

    def confirm(self, record: Record, journal: Journal, polls: Polls) -> Evidence:
        """Active, running, no task. Raises NeedsHands at the deadline."""

        def runs(row: Row | None) -> Evidence | None:
            found = state_of(present(row, self.target))
            return found if (found["vm_state"], found["task_state"], found["power_state"]) == _UP else None

        return polls.servers.wait(self.target, runs, self.seconds, journal.check)


class Detach(ApiStep):
    """Take a volume off a server (compute API: os-volume_attachments).

    Through nova, never cinder: cinder refuses to drop an attachment that nova uses, and the host's own device
    would be left behind (OSSA-2023-003). Undo: hang it on again, at the same device.
    """

    slug = "volume.detach"
    title = "detach"

    def __init__(self, server: str, disk: dict[str, Any], seconds: float, why: str = "") -> None:
        super().__init__(f"{disk['volume_id']}@{server}", why)
        self.server = server
        self.volume = str(disk["volume_id"])
        self.disk = disk
        self.seconds = seconds

    def call(self) -> ApiCall:
        """The one call."""
        return detach_call(self.server, self.volume)

    def observe(self, record: Record, polls: Polls) -> Seen:
        """Done when neither service shows it on the server; under way while cinder says so."""
        both = (polls.volumes, self.volume), (polls.servers, self.server)
        volume, found = look_together(*both, afresh=True)
        server = present(found, self.server)
        if volume is None:
            raise NeedsHands(f"volume {self.volume} no longer exists: skip this lane's steps, or abandon the run")
        if not attachment_of(self.server, volume) and not is_listed(self.volume, server):
            return Done({"status": volume["status"], "already": not record.acted})
        if volume["status"] == "detaching" or (record.acted and record.answered is not None):
            return InFlight()
        return NotStarted({"status": volume["status"], "device": self.disk["device"]})

    def confirm(self, record: Record, journal: Journal, polls: Polls) -> Evidence:
        """Gone at both services, and the volume free for another attachment."""
        return _until_off(self.server, self.volume, self.seconds, polls, journal)

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """Attach it again, if it is still free."""
        volume = polls.volumes.look(self.volume, afresh=True) or {"status": "deleted", "attachments": []}
        if not attachment_of(self.server, volume):
            free = volume["status"] == "available" or (volume["status"] == "in-use" and volume.get("multiattach"))
            if not free:
                raise ChangedSince(
                    f"volume {self.volume} is {volume['status']} now: it is not hung on {self.server} again"
                )
            journal.undoing(self.name, record, {"status": volume["status"]})
            cloud.send(attach_call(self.server, self.disk), str(record.request_id))

        def on(row: Row | None) -> Evidence | None:
            there = row is not None and row["status"] == "in-use" and attachment_of(self.server, row)
            return {"status": "in-use"} if there else None

        return polls.volumes.wait(self.volume, on, self.seconds, journal.check, afresh=True)


class Reattach(ApiStep):
    """Attach a volume again at the device, with the tag and the flag it had (compute API: os-volume_attachments).

    Undo: take it off again, if it still is there.
    """

    slug = "volume.reattach"
    title = "attach the volume again where it was"

    def __init__(self, server: str, disk: dict[str, Any], seconds: float, when: str, why: str = "") -> None:
        super().__init__(f"{disk['volume_id']}@{server}", why, when)
        self.server = server
        self.volume = str(disk["volume_id"])
        self.disk = disk
        self.seconds = seconds

    def call(self) -> ApiCall:
        """The attachment as it was captured; only what was set then is sent."""
        return attach_call(self.server, self.disk)

    def observe(self, record: Record, polls: Polls) -> Seen:
        """Both services must show it; one alone is either under way or a matter for a person."""
        # Once it was sent, only the rows themselves tell: an attachment need not move their time of change.
        both = (polls.volumes, self.volume), (polls.servers, self.server)
        volume, server = look_together(*both, afresh=record.acted)
        if volume is None or server is None:
            raise NeedsHands(f"volume {self.volume} or server {self.server} no longer exists: skip this step")
        at_cinder, at_nova = attachment_of(self.server, volume), is_listed(self.volume, server)
        if at_cinder and at_nova and volume["status"] == "in-use":
            return Done(self._evidence(at_cinder, volume))
        if at_cinder and at_nova and volume["status"] in _ANOTHERS:
            return InFlight()
        if record.acted and (at_cinder or at_nova or volume["status"] in ("reserved", "attaching")):
            return InFlight()
        if at_nova and at_cinder:
            raise NeedsHands(
                f"volume {self.volume} hangs on server {self.server} and is {volume['status']}: see to its status "
                "first (`openstack volume set --state`), then retry"
            )
        if at_nova:
            raise NeedsHands(
                f"nova still lists volume {self.volume} on server {self.server} and cinder knows no attachment: "
                "detach it from the server first, then retry"
            )
        free = volume["status"] == "available" or (volume["status"] == "in-use" and volume.get("multiattach"))
        if not free:
            others = ", ".join(item["server_id"] for item in volume["attachments"]) or "nothing"
            raise NeedsHands(
                f"volume {self.volume} is {volume['status']} and hangs on {others}: it can't be attached to "
                f"{self.server} before that is put right"
            )
        return NotStarted({"status": volume["status"]})

    def confirm(self, record: Record, journal: Journal, polls: Polls) -> Evidence:
        """Cinder says in-use by this server; nova lists it."""
        volume = polls.volumes.wait(self.volume, self._in_use, self.seconds, journal.check, afresh=True)

        def listed(row: Row | None) -> bool | None:
            return True if row and is_listed(self.volume, row) else None

        polls.servers.wait(self.server, listed, self.seconds, journal.check, afresh=True)
        return self._evidence(attachment_of(self.server, volume) or {}, volume)

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """Detach it."""
        volume = polls.volumes.look(self.volume, afresh=True)
        if volume is None or not attachment_of(self.server, volume):
            return {"already": True}
        if volume["status"] == "in-use":
            journal.undoing(self.name, record, {"status": volume["status"]})
            cloud.send(detach_call(self.server, self.volume), str(record.request_id))
        return _until_off(self.server, self.volume, self.seconds, polls, journal)

    def _in_use(self, row: Row | None) -> Row | None:
        return row if row and row["status"] == "in-use" and attachment_of(self.server, row) else None

    def _evidence(self, attachment: Row, volume: Row) -> Evidence:
        return {
            "status": volume["status"],
            "attachment_id": attachment.get("attachment_id"),
            "device": attachment.get("device"),
            "host": attachment.get("host_name"),
        }


def attach_call(server: str, disk: Row) -> ApiCall:
    """The attachment as it was captured; only what was set then is sent."""
    wanted = {"volumeId": disk["volume_id"], "device": disk["device"]}
    version = None
    if disk.get("tag"):
        wanted["tag"], version = disk["tag"], "2.49"
    if disk.get("delete_on_termination"):
        wanted["delete_on_termination"], version = True, "2.79"
    path = f"/servers/{server}/os-volume_attachments"
    return ApiCall("compute", "POST", path, {"volumeAttachment": wanted}, version)


def detach_call(server: str, volume: str) -> ApiCall:
    """Taking the volume off."""
    return ApiCall("compute", "DELETE", f"/servers/{server}/os-volume_attachments/{volume}")


def attachment_of(server: str, volume: Row) -> Row | None:
    """Cinder's attachment of the volume to the server."""
    return next((item for item in volume["attachments"] if item["server_id"] == server), None)


def is_listed(volume: str, server: Row) -> bool:
    """Whether nova lists the volume on the server."""
    return any(item["id"] == volume for item in server.get("os-extended-volumes:volumes_attached") or [])


def _until_off(server: str, volume: str, seconds: float, polls: Polls, journal: Journal) -> Evidence:
    def off(row: Row | None) -> Evidence | None:
        if row is None or attachment_of(server, row) or row["status"] not in _FREE:
            return None
        return {"status": row["status"]}

    def unlisted(row: Row | None) -> bool | None:
        return None if is_listed(volume, present(row, server)) else True

    found = polls.volumes.wait(volume, off, seconds, journal.check, afresh=True)
    polls.servers.wait(server, unlisted, seconds, journal.check, afresh=True)
    return found
