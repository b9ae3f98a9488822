"""What a host's maintenance does with its servers beyond moving them: stopped, started again, taken home."""

import time
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Wait
from stackmend.errors import NeedsHands
from stackmend.tasks import moves
from stackmend.tasks.arrival import VerifyMoved
from stackmend.tasks.cold_migration import ColdMigrate
from stackmend.tasks.migration import LiveMigrate
from stackmend.tasks.moves import Move
from stackmend.tasks.moving import Moving
from stackmend.tasks.power import Start, Stop
from stackmend.tasks.servers import present, state_of
from stackmend.tasks.verification import VerifyServer

Row = dict[str, Any]
# A server of these states runs nowhere, and needs nothing of its host while that is away.
_OFF = frozenset(["stopped", "suspended", "shelved", "shelved_offloaded", "error"])
_LOOK_EVERY = 1.0


class StopLeft(Stop):
    """Stop a server that could not be moved. Undo: start it, if it still is stopped as it was left."""

    def __init__(self, server: str, source: str, seconds: float) -> None:
        super().__init__(server, seconds)
        self.when = f"only if it is still on {source}"
        self.source = source

    def observe(self, record: Record, cloud: Cloud, polls: Polls) -> Seen:
        """As for any stop; nothing to do for one that has left."""
        found = state_of(present(polls.servers.look(self.target, afresh=True), self.target))
        if found["host"] != self.source:
            return Done({"stopped": False, "host": found["host"]})
        return super().observe(record, cloud, polls)


class HostEmpty(Wait):
    """Nothing runs on the host, and nothing is coming or going. Undo: nothing to undo, it only reads."""

    slug = "host.empty"
    title = "prove that nothing runs on the host, and nothing is on its way"

    def confirm(self, journal: Journal, cloud: Cloud) -> Evidence:
        """What stays there is off. Raises NeedsHands at the deadline, naming what is not."""
        deadline = time.monotonic() + self.seconds
        while True:
            rows = list(reads.servers(cloud, host=self.target))
            found = {row["id"]: state_of(row) for row in rows}
            left = [f"{row['name']} ({_told(found[row['id']])})" for row in rows if not _off(found[row["id"]])]
            left += [moves.told(item) for item in reads.migrations(cloud, host=self.target) if item["status"] in _GOING]
            if not left:
                return {"off": {row["name"]: found[row["id"]]["vm_state"] for row in rows}}
            if time.monotonic() >= deadline:
                raise NeedsHands(
                    f"{self.target} is not empty: {'; '.join(left[:5])}{'; ...' if len(left) > 5 else ''}; move or "
                    "stop that, then retry"
                )
            journal.pause(_LOOK_EVERY)


class _Homeward(Moving):
    """Back to where a server was, if ``lane`` moved it away and nobody has moved it since."""

    def __init__(self, server: str, lane: str, move: Move) -> None:
        super().__init__(server, move, when="only if this run moved it, and nobody has since")
        self.lane = lane

    def known(self, listed: Row | None) -> list[Row]:
        """Its migrations of this kind from elsewhere."""
        return self.away_from(str(self.move.to), listed)

    def needless(self, found: Row, journal: Journal) -> Evidence | None:
        """Where it is to stay, and why."""
        put = journal.past(self.lane, f"{VerifyMoved.slug}:{self.target}").get("evidence") or {}
        ours = any(
            journal.past(self.lane, f"{step.slug}:{self.target}").get("acted") for step in (LiveMigrate, ColdMigrate)
        )
        if found["host"] == self.move.to:
            return {"moved": False, "why": "it is at home"}
        if not ours or not put.get("moved"):
            return {"moved": False, "why": "this run did not move it away"}
        if found["host"] != put["server"]["host"]:
            return {"moved": False, "why": f"somebody has moved it to {found['host']} since"}
        return None if found["vm_state"] in self.states else {"moved": False, "why": f"it is {found['vm_state']} now"}


class MigrateHome(_Homeward, LiveMigrate):
    """Live-migrate a server home that this run moved away, if it still is where it was put.

    Undo: migrate it to where it was before, while it still is at home.
    """

    slug = "server.migrate-home"
    title = "live-migrate it home"


class CarryHome(_Homeward, ColdMigrate):
    """Cold-migrate a server home that could not leave live, as for a live one; it then waits to be confirmed.

    ``state``: the vm_state it left in. Undo: revert the resize, or migrate it to where it was before, while it still is
    at home.
    """

    slug = "server.carry-home"
    title = "cold-migrate it home"

    def __init__(self, server: str, lane: str, move: Move, state: str) -> None:
        super().__init__(server, lane, move)
        # One that was stopped, and that somebody has started since, is not switched off for it.
        self.states = (state,)


class StartAgain(Start):
    """Start a server again that this run stopped, if it still is there and off. Undo: stop it."""

    def __init__(self, server: str, host: str, lane: str, seconds: float) -> None:
        super().__init__(server, seconds)
        self.when = "only if this run stopped it"
        self.host = host
        self.lane = lane

    def observe(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Seen:  # type: ignore[override]
        """As for any start; nothing to do for one that this run did not stop."""
        stopped = journal.past(self.lane, f"{Stop.slug}:{self.target}")
        found = state_of(present(polls.servers.look(self.target, afresh=True), self.target))
        if not record.acted and (not stopped.get("acted") or found["host"] != self.host):
            return Done({"started": False, "host": found["host"]})
        seen = super().observe(record, cloud, polls)
        if isinstance(seen, NotStarted) and found["vm_state"] != "stopped":
            return Done({"started": False, "why": f"it is {found['vm_state']} now"})
        return seen


class VerifyBack(VerifyServer):
    """A server that this lane took home or started is as it was captured. Undo: nothing to undo, it only reads."""

    slug = "server.verify-back"
    title = "prove what was taken home or started: state and power, volumes at nova and cinder, ports"

    def observe(self, journal: Journal) -> Seen:  # type: ignore[override]
        """Nothing to prove of one that was left alone: it is its user's."""
        records = [journal.record(f"{step.slug}:{self.target}") for step in (MigrateHome, CarryHome, StartAgain)]
        return InFlight() if any(record and record.acted for record in records) else Done({"needed": False})


_GOING = frozenset(["accepted", "queued", "preparing", "running", "pre-migrating", "migrating", "post-migrating"])


def _off(found: Row) -> bool:
    runs = found["vm_state"] == "error" and found["power_state"] == 1
    return found["vm_state"] in _OFF and found["task_state"] is None and not runs


def _told(found: Row) -> str:
    return f"{found['vm_state']}{', ' + found['task_state'] if found['task_state'] else ''}"
