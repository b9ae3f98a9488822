"""A live migration that passed its deadline is ended, one way or the other."""

from typing import Any

from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen
from stackmend.errors import NeedsHands, Refused
from stackmend.tasks import moves
from stackmend.tasks.effects import ApiStep
from stackmend.tasks.moves import Move
from stackmend.tasks.moving import REFUSED, RESTS_WITHIN

Row = dict[str, Any]
# Aborting: 2.24, from 2.65 on also one that is queued or prepared. Forcing: 2.22.
ABORT_VERSIONS, FORCE_VERSIONS = ("2.24", "2.65"), ("2.22",)


class _EndMigration(ApiStep):
    """One live migration, told to end, that the step of slug ``begun_by`` began in the same lane."""

    how = ""

    def __init__(self, server: str, move: Move, begun_by: str) -> None:
        super().__init__(server, when=f"only if it has not arrived after {move.deadline:g} s")
        self.move = move
        self.begun_by = begun_by

    def call(self) -> ApiCall:
        """Which migration it is, only nova's record will tell."""
        return self.ending("MIGRATION")

    def ending(self, migration: str) -> ApiCall:
        """The call for one migration."""
        raise NotImplementedError

    def observe(self, record: Record, journal: Journal, polls: Polls) -> Seen:
        """Done when nothing is under way that the lane's own step began: others' migrations are theirs."""
        found = self._ours(journal, polls.migrations.look(self.target, afresh=True))
        if found is None or not moves.under_way(found):
            return Done({"needed": record.acted, "ended": found["status"] if found else None})
        return InFlight() if record.answered is not None else NotStarted({"migration": found["id"]})

    def act(self, record: Record, cloud: Cloud) -> str:
        """Send it; nova refuses for a migration that has just ended, and then nothing is to be done."""
        try:
            return cloud.send(self.ending(str(record.before["migration"])), str(record.request_id)).request_id
        except Refused as refused:
            if refused.status in (400, 404, 409):
                return f"{REFUSED}{refused}"
            raise

    def confirm(self, record: Record, journal: Journal, polls: Polls) -> Evidence:
        """The record ended. Raises NeedsHands when it does not."""

        def ended(row: Row | None) -> Row | None:
            found = self._ours(journal, row)
            return None if moves.under_way(found) else found

        seconds = max(RESTS_WITHIN, self.move.deadline)
        try:
            found = polls.migrations.wait(self.target, ended, seconds, journal.check)
        except NeedsHands:
            raise NeedsHands(
                f"the live migration of server {self.target} was {self.how} and has not ended {seconds:.0f} s later "
                f"(nova answered {record.answered}): look at nova-compute on {self.move.source}"
            ) from None
        return {"needed": True, "how": self.how, "ended": found["status"], "migration": found["id"]}

    def undo(self) -> Evidence:
        """Nothing of its own."""
        return {"already": True}

    def _ours(self, journal: Journal, listed: Row | None) -> Row | None:
        begun = journal.record(f"{self.begun_by}:{self.target}")
        return moves.since(moves.of(listed, moves.LIVE), begun) if begun and begun.acted else None


class AbortMigration(_EndMigration):
    """Abort a live migration that is late (compute API: DELETE /servers/{id}/migrations/{id}, 2.24).

    Undo: nothing to undo, the server runs on where it was.
    """

    slug = "server.abort-migration"
    title = "abort the migration at its deadline: the server runs on where it was"
    how = "aborted at its deadline"

    def ending(self, migration: str) -> ApiCall:
        """From 2.65 on also for one that is only queued or prepared."""
        path = f"/servers/{self.target}/migrations/{migration}"
        return ApiCall("compute", "DELETE", path, None, self.move.end_version)


class ForceComplete(_EndMigration):
    """Force a live migration that is late to its end (compute API: force_complete, 2.22).

    Undo: nothing of its own, the migration's own undo takes the server back.
    """

    slug = "server.force-complete"
    title = "force the migration to its end at its deadline: the guest is paused, or goes over to post-copy"
    how = "forced at its deadline"

    def ending(self, migration: str) -> ApiCall:
        """For one that is running."""
        path = f"/servers/{self.target}/migrations/{migration}/action"
        return ApiCall("compute", "POST", path, {"force_complete": None}, self.move.end_version)
