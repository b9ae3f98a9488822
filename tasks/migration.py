"""Live migration: a server goes on running on another host, and nova's migration record proves it."""

import functools
from typing import Any

from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.fencing import Fences
from stackmend.clients.polls import Polls
from stackmend.clients.ssh import Ssh
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Evidence
from stackmend.errors import NeedsHands
from stackmend.tasks import moves
from stackmend.tasks.hosts import opened_again
from stackmend.tasks.moving import LONGEST, REFUSED, Moving

Row = dict[str, Any]
# From 2.25 on nova itself finds out whether disks must be copied; from 2.30 on the scheduler checks a host that is
# named; from 2.34 on a refusal is told by the migration record; from 2.68 on nobody can force it past these checks.
VERSIONS = ("2.30", "2.34", "2.68")


class LiveMigrate(Moving):
    """Live-migrate a server (compute API: os-migrateLive; admin guide, "Live-migrate instances").

    Undo: migrate it back to the host that it came from, while it still is where it was put. That host is enabled
    for it, if it is disabled for our reason.
    """

    slug = "server.live-migrate"
    title = "live-migrate, and watch the migration to its end"
    kinds = moves.LIVE
    action = "live-migration"
    states = ("active", "paused")

    def sending(self, host: str | None) -> ApiCall:
        """Nova itself finds out about the disks."""
        body = {"os-migrateLive": {"host": host, "block_migration": "auto"}}
        return ApiCall("compute", "POST", f"/servers/{self.target}/action", body, self.move.live_version)

    def busy(self, task: str | None) -> bool:
        """From the API's answer on."""
        return task == "migrating"

    def confirm(
        self, record: Record, journal: Journal, cloud: Cloud, polls: Polls, ssh: Ssh, fences: Fences
    ) -> Evidence:
        """The migration completed, the server at rest on another host; or that it is late, for the next step.

        Raises NeedsHands with nova's reason when it failed, unless it is gentle.
        """
        if (record.answered or "").startswith(REFUSED):
            return self.stayed(record, journal, str(record.answered))
        seconds = LONGEST if self.move.on_deadline == "wait" else self.move.deadline
        migration = self.watched(record, journal, polls, self.known, seconds)
        if moves.under_way(migration):
            return {"moved": False, "late": True, "why": f"not there after {seconds:g} s"}
        if migration["status"] in moves.FAILED:
            return self.stayed(record, journal, moves.why(cloud, ssh, fences, migration))
        found = self.at_rest(migration["dest_compute"], self.states, polls, journal)
        return {"moved": True, "migration": migration["id"], "dest": migration["dest_compute"], **found}

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls, ssh: Ssh, fences: Fences) -> Evidence:
        """Live-migrate it back, once."""
        home = record.before["host"]
        if record.undo is None:
            ours = moves.since(self.known(polls.migrations.look(self.target, afresh=True)), record)
            if moves.under_way(ours):
                ours = self.watched(record, journal, polls, self.known, self.move.deadline)
            found = self.look(polls)
            if found["host"] == home and not moves.under_way(ours):
                return {**found, "already": True}
            self.still_ours(found, ours)
            opened_again(cloud, polls, home, self.move.reason, str(record.request_id), journal.check)
        back = self.sent_back(record, home, journal, cloud, polls)
        try:
            migration = self.watched(back, journal, polls, functools.partial(self.away_from, home), LONGEST)
            if migration["status"] in moves.FAILED:
                why = moves.why(cloud, ssh, fences, migration)
                raise NeedsHands(f"server {self.target} did not go back to {home}: {why}")
        except NeedsHands:
            journal.not_undone(self.name, record)
            raise
        found = self.at_rest(home, self.states, polls, journal)
        return {"migration": migration["id"], **found}
