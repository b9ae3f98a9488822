"""Cold migration: a server that is off, or may be for a while, is carried to another host, and confirmed there."""

import functools
from typing import Any

from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.fencing import Fences
from stackmend.clients.polls import Polls
from stackmend.clients.ssh import Ssh
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen
from stackmend.errors import NeedsHands
from stackmend.tasks import moves
from stackmend.tasks.effects import ApiStep
from stackmend.tasks.hosts import opened_again
from stackmend.tasks.moving import LONGEST, REFUSED, Moving
from stackmend.tasks.servers import present, state_of

Row = dict[str, Any]
# From 2.56 on a host can be named.
VERSIONS = ("2.1", "2.56")
_RESIZED = "resized"


class ColdMigrate(Moving):
    """Cold-migrate a server (compute API: migrate); it then waits to be confirmed, its old copy still there.

    Undo: revert the resize while it waits to be confirmed; after that, migrate it back and confirm, while it
    still is where it was put. The host that it came from is enabled for it, if it is disabled for our reason.
    """

    slug = "server.cold-migrate"
    title = "cold-migrate: the server is off while it is carried"
    kinds = moves.COLD
    action = "migrate"
    states: tuple[str, ...] = ("active", "stopped")

    def sending(self, host: str | None) -> ApiCall:
        """The scheduler checks a host that is named."""
        body = {"migrate": {"host": host} if host else None}
        return ApiCall("compute", "POST", f"/servers/{self.target}/action", body, self.move.cold_version)

    def busy(self, task: str | None) -> bool:
        """From the API's answer on."""
        return task is not None and task.startswith("resize_")

    def confirm(
        self, record: Record, journal: Journal, cloud: Cloud, polls: Polls, ssh: Ssh, fences: Fences
    ) -> Evidence:
        """Finished on another host, waiting to be confirmed; or confirmed by nova (its resize_confirm_window).

        Raises NeedsHands with nova's reason when it failed, unless it is gentle; and when it is late: nova can't
        abort it.
        """
        if (record.answered or "").startswith(REFUSED):
            return self.stayed(record, journal, str(record.answered))
        migration = self.watched(record, journal, polls, self.known, self.move.deadline)
        if moves.under_way(migration):
            raise NeedsHands(
                f"the cold migration of server {self.target} is {migration['status']} after {self.move.deadline:g} s, "
                "and nova has no way to abort it: wait for its end, then retry"
            )
        if migration["status"] in moves.FAILED:
            return self.stayed(record, journal, moves.why(cloud, ssh, fences, migration))
        found = self.at_rest(migration["dest_compute"], (*self.states, _RESIZED), polls, journal)
        return {"moved": True, "migration": migration["id"], "dest": migration["dest_compute"], **found}

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls, ssh: Ssh, fences: Fences) -> Evidence:
        """Revert the resize, or migrate it back."""
        home, listed, found = record.before["host"], polls.migrations.look(self.target, afresh=True), self.look(polls)
        ours = moves.since(self.known(listed), record)
        if record.undo is None and moves.under_way(ours):
            raise NeedsHands(f"server {self.target} is being moved: wait for the end of that, then revert again")
        if found["task_state"] == "resize_reverting":
            return self.at_rest(home, self.states, polls, journal)
        if found["host"] == home and found["vm_state"] in self.states and found["task_state"] is None:
            return {**found, "already": True}
        if record.undo is None:
            waiting = {**found, "vm_state": "stopped"} if found["vm_state"] == _RESIZED else found
            self.still_ours(waiting, ours)
            opened_again(cloud, polls, home, self.move.reason, str(record.request_id), journal.check)
        if ours and ours["status"] == "finished" and found["vm_state"] == _RESIZED:
            cloud.send(_asked(self.target, "revertResize"), str(record.request_id))
            return self.at_rest(home, self.states, polls, journal)
        back = self.sent_back(record, home, journal, cloud, polls)
        migration = self.watched(back, journal, polls, functools.partial(self.away_from, home), LONGEST)
        if migration["status"] in moves.FAILED:
            journal.not_undone(self.name, record)
            why = moves.why(cloud, ssh, fences, migration)
            raise NeedsHands(f"server {self.target} did not go back to {home}: {why}")
        return self._confirmed(home, record, journal, cloud, polls)

    def _confirmed(self, home: str, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """Home, and confirmed there: the server's own state tells whether that was sent."""
        if self.at_rest(home, (*self.states, _RESIZED), polls, journal)["vm_state"] == _RESIZED:
            cloud.send(_asked(self.target, "confirmResize"), str(record.request_id))
        return self.at_rest(home, self.states, polls, journal)


class ConfirmResize(ApiStep):
    """Confirm a cold migration: the old host lets go of its copy (compute API: confirmResize).

    ``begun_by``: the slug of the migration's step in the same lane.
    Undo: nothing of its own: the migration's own undo takes the server back, by another migration.
    """

    slug = "server.confirm-resize"
    title = "confirm the cold migration: the old host lets go of its copy"

    def __init__(self, server: str, seconds: float, when: str = "always", begun_by: str = ColdMigrate.slug) -> None:
        super().__init__(server, when=when)
        self.seconds = seconds
        self.begun_by = begun_by

    def call(self) -> ApiCall:
        """The one call."""
        return _asked(self.target, "confirmResize")

    def observe(self, journal: Journal, polls: Polls) -> Seen:
        """Done when nothing of ours waits to be confirmed: a user's own resize is the user's to confirm."""
        moved = journal.record(f"{self.begun_by}:{self.target}")
        if moved is None or not moved.acted:
            return Done({"needed": False})
        found = state_of(present(polls.servers.look(self.target, afresh=True), self.target))
        if found["vm_state"] != _RESIZED:
            return Done(found)
        newest = moves.of(polls.migrations.look(self.target, afresh=True), moves.COLD)[-1:]
        return InFlight() if newest and newest[0]["status"] == "confirming" else NotStarted(found)

    def confirm(self, journal: Journal, polls: Polls) -> Evidence:
        """The server is active or stopped again. Raises NeedsHands at the deadline."""

        def rests(row: Row | None) -> Evidence | None:
            found = state_of(present(row, self.target))
            return found if found["vm_state"] != _RESIZED and found["task_state"] is None else None

        found = polls.servers.wait(self.target, rests, self.seconds, journal.check)
        if found["vm_state"] == "error":
            raise NeedsHands(f"server {self.target} went to error when its migration was confirmed")
        return found

    def undo(self) -> Evidence:
        """Nothing of its own."""
        return {"already": True}


def _asked(server: str, action: str) -> ApiCall:
    return ApiCall("compute", "POST", f"/servers/{server}/action", {action: None})
