"""Compute hosts as nova's services know them: disabled, forced down, and back."""

from collections.abc import Callable
from typing import Any

from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, NotStarted, Seen
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import ApiStep

Row = dict[str, Any]
# Seconds for a switch of a service to show in the list of services.
_SHOWS_WITHIN = 60.0
# Seconds for a nova-compute that runs to count as up.
_COMES_UP_WITHIN = 180.0
_VERSION = "2.53"


def service_of(polls: Polls, host: str) -> Row:
    """The host's nova-compute as nova lists it. Raises NeedsHands when it has none."""
    row = polls.computes.look(host)
    if row is None:
        raise NeedsHands(f"nova knows no nova-compute on {host}: `openstack compute service list` shows the hosts")
    return row


class _Switch(ApiStep):
    """One switch of a host's nova-compute service (compute API: PUT /os-services/{id}, 2.53)."""

    def __init__(self, host: str, service: str, why: str = "") -> None:
        super().__init__(host, why)
        self.service = service

    def wanted(self) -> Row:
        """The fields that the call sets."""
        raise NotImplementedError

    def call(self) -> ApiCall:
        """The one call."""
        return self._put(self.wanted())

    def observe(self, record: Record, polls: Polls) -> Seen:
        """Done when the service shows it."""
        row = service_of(polls, self.target)
        if _shows(row, self.wanted()):
            return Done({**_flags(row), "already": not record.acted})
        return NotStarted(_flags(row))

    def confirm(self, record: Record, journal: Journal, polls: Polls) -> Evidence:
        """The list of services shows it."""

        def shown(row: Row | None) -> Evidence | None:
            return _flags(row) if row and _shows(row, self.wanted()) else None

        return polls.computes.wait(self.target, shown, _SHOWS_WITHIN, journal.check)

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """Set the fields back to what they were, unless somebody has set them otherwise since."""
        row, before = service_of(polls, self.target), self._restoring(record.before)
        if _shows(row, before):
            return {"already": True, **_flags(row)}
        if not _shows(row, self.wanted()):
            raise ChangedSince(f"nova-compute on {self.target} was switched by somebody else since: {_told(row)}")
        journal.undoing(self.name, record, _flags(row))
        cloud.send(self._put(before), f"{record.request_id}")
        return {"restored": before}

    def _restoring(self, before: Row) -> Row:
        """Of what was before, the fields that this switch had changed."""
        kept = {name: before[name] for name in self.wanted()}
        if kept.get("status") == "enabled":
            kept.pop("disabled_reason", None)
        return kept

    def _put(self, fields: Row) -> ApiCall:
        return ApiCall("compute", "PUT", f"/os-services/{self.service}", fields, _VERSION)


class Disable(_Switch):
    """Keep the scheduler away from a host, with a reason that is ours. Undo: enable it, if the reason still is."""

    slug = "host.disable"
    title = "disable nova-compute"

    def __init__(self, host: str, service: str, reason: str, why: str = "") -> None:
        super().__init__(host, service, why)
        self.reason = reason

    def wanted(self) -> Row:
        """Disabled, by us."""
        return {"status": "disabled", "disabled_reason": self.reason}

    def observe(self, record: Record, polls: Polls) -> Seen:
        """Done when it is disabled; one that somebody else disabled keeps their reason."""
        row = service_of(polls, self.target)
        if row["status"] == "disabled":
            return Done({**_flags(row), "already": not record.acted})
        return NotStarted(_flags(row))


class Enable(_Switch):
    """Let the scheduler use a host again, if it is disabled for the reason that is ours. Undo: disable it again."""

    slug = "host.enable"
    title = "enable nova-compute, if it is disabled for our reason"

    def __init__(self, host: str, service: str, reason: str, why: str = "") -> None:
        super().__init__(host, service, why)
        self.reason = reason

    def wanted(self) -> Row:
        """Enabled."""
        return {"status": "enabled"}

    def observe(self, record: Record, polls: Polls) -> Seen:
        """Done when it is enabled. Raises NeedsHands when somebody else disabled it."""
        row = service_of(polls, self.target)
        if row["status"] == "disabled" and self.reason not in (row["disabled_reason"] or ""):
            raise NeedsHands(
                f"nova-compute on {self.target} is disabled for a reason that is not ours "
                f"({row['disabled_reason'] or 'none given'}): whoever did it enables it, or you do; then retry"
            )
        return super().observe(record, polls)

    def _restoring(self, before: Row) -> Row:
        return {"status": before["status"], "disabled_reason": before["disabled_reason"]}


class ForceDown(_Switch):
    """State that a host is fenced: nova counts it as down at once. Undo: take the statement back."""

    slug = "host.force-down"
    title = "force nova-compute down: a statement that the host is fenced"

    def wanted(self) -> Row:
        """Forced down."""
        return {"forced_down": True}


class ForceUp(_Switch):
    """Take back the statement that a host is down.

    Nova refuses while evacuations from it are not cleaned up, which nova-compute does when it starts.
    Undo: force it down again.
    """

    slug = "host.force-up"
    title = "let nova-compute count as up again"

    def wanted(self) -> Row:
        """Not forced down."""
        return {"forced_down": False}


def opened_again(
    cloud: Cloud, polls: Polls, host: str, reason: str, request_id: str, check: Callable[[], None]
) -> None:
    """Make a host take servers again for an undo: enabled if it is disabled for our ``reason``, and up.

    Raises NeedsHands when it is disabled for another reason, or does not come up.
    """
    row = service_of(polls, host)
    if row["status"] == "disabled":
        if not reason or reason not in (row["disabled_reason"] or ""):
            raise NeedsHands(
                f"nothing can go back to {host}: its nova-compute is disabled for a reason that is not ours "
                f"({row['disabled_reason'] or 'none given'}); enable it, then revert again"
            )
        cloud.send(ApiCall("compute", "PUT", f"/os-services/{row['id']}", {"status": "enabled"}, _VERSION), request_id)

    def open_(row: Row | None) -> Row | None:
        return row if row and (row["status"], row["state"]) == ("enabled", "up") else None

    polls.computes.wait(host, open_, _COMES_UP_WITHIN, check)


def _flags(row: Row) -> Row:
    return {
        "status": row["status"],
        "disabled_reason": row.get("disabled_reason"),
        "forced_down": bool(row.get("forced_down")),
        "state": row["state"],
    }


def _shows(row: Row, fields: Row) -> bool:
    return all(_flags(row)[name] == value for name, value in fields.items())


def _told(row: Row) -> str:
    return ", ".join(f"{name} {value}" for name, value in _flags(row).items())
