"""Evacuation: a server of a dead host is rebuilt on another one, and nova's migration record proves it."""

import contextlib
import time
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.poll import Awaited, Waiting
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Again, Done, Evidence, InFlight, NotStarted, Seen, Step
from stackmend.errors import NeedsHands
from stackmend.tasks.effects import ApiStep
from stackmend.tasks.hosts import service_of
from stackmend.tasks.servers import present, state_of, told

Row = dict[str, Any]
ENDED_WELL = frozenset(["done", "completed"])
FAILED = frozenset(["error", "failed", "cancelled"])
# From 2.14 on nova itself finds out whether disks are shared; from 2.29 on it checks a host that is named;
# from 2.68 on it can't be forced past these checks; from 2.95 on the server is left stopped.
VERSIONS = ("2.14", "2.29", "2.68", "2.95")
_LONGEST_PAUSE = 120.0
# Seconds for nova to be done with a server whose evacuation it has marked as failed.
_GIVES_UP_WITHIN = 30.0


class Evacuate(ApiStep):
    """Rebuild a server elsewhere (compute API: evacuate; admin guide, "Evacuate instances").

    Nova accepts a second evacuation while the first runs. So: it is sent only while nova shows none that is
    newer than the one before the intent, and again only when the record of the last one says that it failed.
    Where no host was found it waits for one, twice as long each time; where the rebuild failed on a host it is sent
    again soon, to another one by name.

    Undo: none; the old copy is given up with the first call: a point of no return.
    """

    slug = "server.evacuate"
    title = "evacuate, and watch the migration to its end"
    undoable = False

    def __init__(
        self, server: str, source: str, to: str | None, version: str, seconds: float, attempts: int, pause: float
    ) -> None:
        super().__init__(
            server, why="" if to else "if its rebuild fails on a host it is sent again, to another by name"
        )
        self.source = source
        self.to = to
        self.version = version
        self.seconds = seconds
        self.most_attempts = attempts
        self.pause = pause

    def call(self) -> ApiCall:
        """Without a host named, the scheduler chooses."""
        return self._asked(self.to)

    def act(self, record: Record, cloud: Cloud) -> str:
        """Send it; to another host than those where it failed before."""
        return cloud.send(self._asked(record.mark.get("to")), str(record.request_id)).request_id

    def observe(self, record: Record, cloud: Cloud, polls: Polls) -> Seen:
        """What the migration records say; one that somebody else began is adopted."""
        # The records first: a server that is read later can't be older than they are.
        known = self._evacuations(polls.migrations.look(self.target, afresh=True))
        row = present(polls.servers.look(self.target), self.target)
        newest = self._newest(known, record)
        ended = newest is None or newest["status"] in ENDED_WELL | FAILED
        failed = newest is not None and newest["status"] in FAILED
        if not ended or (record.acted and not failed and (newest is not None or record.answered is not None)):
            return InFlight()
        if row["OS-EXT-SRV-ATTR:host"] != self.source:
            return Done({**state_of(row), "already": True})
        last = known[-1]["id"] if known else 0
        return NotStarted(state_of(row), {"last": last, "to": self.to or self._elsewhere(cloud, polls, known, record)})

    def confirm(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """The migration done, the server on another host and at rest.

        Raises Again when the record says that it failed, NeedsHands at the deadline.
        """
        deadline = time.monotonic() + self.seconds

        def ended(row: Row | None) -> Row | None:
            newest = self._newest(self._evacuations(row), record)
            return newest if newest and newest["status"] in ENDED_WELL | FAILED else None

        def settled(row: Row | None) -> Evidence | None:
            found = state_of(present(row, self.target))
            moved = found["host"] != self.source and found["task_state"] is None
            return found if moved and found["vm_state"] in ("active", "stopped", "error") else None

        try:
            awaited = Awaited(polls.migrations, self.target, ended)
            (migration,) = journal.wait(self.name, Waiting([awaited], self.seconds))
            if migration["status"] in FAILED:
                self._given_up(journal, polls)
                raise Again(self._pause(record, migration), self._why(cloud, migration))
            left = max(1.0, deadline - time.monotonic())
            found = polls.servers.wait(self.target, settled, left, journal.check)
        except NeedsHands as late:
            raise NeedsHands(f"{late}; {told(reads.server(cloud, self.target))}") from late
        if found["vm_state"] == "error":
            raise NeedsHands(f"server {self.target} went to error: {told(reads.server(cloud, self.target))}")
        return {"migration": migration["uuid"], "dest": migration["dest_compute"], **found}

    def _given_up(self, journal: Journal, polls: Polls) -> None:
        """Nova marks the record first; the server's error, its end of the task and the reason come behind it."""

        def rests(row: Row | None) -> Row | None:
            found = present(row, self.target)
            told_why = found["OS-EXT-STS:vm_state"] != "error" or bool(found.get("fault"))
            return found if told_why and found["OS-EXT-STS:task_state"] is None else None

        # Whatever it hangs in, the record has said that this one failed.
        with contextlib.suppress(NeedsHands):
            polls.servers.wait(self.target, rests, _GIVES_UP_WITHIN, journal.check, afresh=True)

    def _evacuations(self, row: Row | None) -> list[Row]:
        found = row["migrations"] if row and "migrations" in row else []
        return [
            item for item in found if (item["migration_type"], item["source_compute"]) == ("evacuation", self.source)
        ]

    @staticmethod
    def _newest(known: list[Row], record: Record) -> Row | None:
        return known[-1] if known and known[-1]["id"] > record.mark.get("last", 0) else None

    def _asked(self, host: str | None) -> ApiCall:
        body = {"evacuate": {"host": host} if host else {}}
        return ApiCall("compute", "POST", f"/servers/{self.target}/action", body, self.version)

    def _elsewhere(self, cloud: Cloud, polls: Polls, known: list[Row], record: Record) -> str | None:
        """Where a rebuild failed on a host: the roomiest host on which none has failed; else the scheduler's choice."""
        if not record.acted or not known or not known[-1]["dest_compute"]:
            return None
        tried = {row["dest_compute"] for row in known if row["status"] in FAILED}
        room = {
            host: free.get("MEMORY_MB", 0)
            for host, free in reads.capacity(cloud).items()
            if host not in tried | {self.source} and _takes_servers(polls, host)
        }
        return max(room, key=room.__getitem__, default=None)

    def _pause(self, record: Record, migration: Row) -> float:
        """Capacity takes its time to come; another host is there at once."""
        doubled = self.pause * 2 ** max(0, record.attempt - record.granted - 1)
        return min(_LONGEST_PAUSE, self.pause if migration["dest_compute"] and not self.to else doubled)

    def _why(self, cloud: Cloud, migration: Row) -> str:
        row = reads.server(cloud, self.target)
        return f"the last one ended {migration['status']} on {migration['dest_compute'] or 'no host'}: {told(row)}"


class HostHeld(Step):
    """The host stays away until it is returned: forced down, disabled, and nothing is still leaving it.

    Undo: nothing to undo, it only reads.
    """

    slug = "host.held"
    title = "hold the host: forced down, disabled, every evacuation ended; what is left on it"
    reads_only = True

    def observe(self, cloud: Cloud, polls: Polls) -> Seen:
        """Look once. Raises NeedsHands when somebody has let the host back already."""
        row = service_of(polls, self.target)
        if not row["forced_down"] or row["status"] != "disabled":
            raise NeedsHands(
                f"{self.target} was let back by somebody ({row['status']}, forced down: {row['forced_down']}): its old "
                "guests may run twice; switch it off, then retry"
            )
        under_way = [
            item["instance_uuid"]
            for item in reads.migrations(cloud, migration_type="evacuation", source_compute=self.target)
            if item["status"] not in ENDED_WELL | FAILED
        ]
        left = [item["id"] for item in reads.servers(cloud, host=self.target)]
        return Done(
            {
                "state": row["state"],
                "disabled_reason": row["disabled_reason"],
                "evacuations_under_way": under_way,
                "servers_left": left,
                "allocations_left": sorted(reads.allocations_on(cloud, self.target)),
                "next": f"stackmend run host-return {self.target}",
            }
        )


def _takes_servers(polls: Polls, host: str) -> bool:
    row = polls.computes.look(host) or {}
    return (row.get("state"), row.get("status")) == ("up", "enabled")
