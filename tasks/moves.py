"""What nova records of a server's moves, and what it and its computes say of one that failed."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.fencing import Fences
from stackmend.clients.ssh import Ssh
from stackmend.engine.journal import Record
from stackmend.tasks.compute_service import Place, facts_of, log_tail

Row = dict[str, Any]
LIVE = frozenset(["live-migration"])
COLD = frozenset(["migration", "resize"])
# How a move's record ends: a live one is completed, a cold one finished (it waits to be confirmed), then confirmed.
ENDED_WELL = frozenset(["completed", "finished", "confirmed"])
FAILED = frozenset(["error", "failed", "cancelled", "reverted"])
_ACTIONS = {"live-migration": "live-migration", "migration": "migrate", "resize": "resize"}
_LOG_LINES = 5


@dataclass(frozen=True)
class Move:
    """How one server is to be moved, as plain JSON in a lane's facts.

    ``to``: the host, None for the scheduler's choice. ``deadline``: seconds from when nova begins; then
    ``on_deadline`` (abort, force-complete, wait). ``gentle``: a failure is no end of the lane, its next step
    goes on. ``reason``: for which the source is disabled, if that is ours.
    """

    source: str
    to: str | None
    live_version: str
    end_version: str
    cold_version: str
    deadline: float
    on_deadline: str = "wait"
    gentle: bool = False
    reason: str = ""


def of(row: Row | None, kinds: Collection[str]) -> list[Row]:
    """A server's migrations of these kinds, oldest first."""
    found: list[Row] = row["migrations"] if row and "migrations" in row else []
    return [item for item in found if item["migration_type"] in kinds]


def last(row: Row | None) -> int:
    """The number of a server's newest migration of any kind; 0 where it has none."""
    return max((item["id"] for item in row["migrations"]), default=0) if row and "migrations" in row else 0


def since(known: list[Row], record: Record) -> Row | None:
    """The first migration that is newer than those which the record's mark counts."""
    return next((item for item in known if item["id"] > record.mark.get("last", 0)), None)


def under_way(migration: Row | None) -> bool:
    """Whether nova has not ended it."""
    return migration is not None and migration["status"] not in ENDED_WELL | FAILED


def told(migration: Row) -> str:
    """A migration in one clause."""
    where = migration["dest_compute"] or "no host"
    return f"migration {migration['id']} from {migration['source_compute']} to {where} ended {migration['status']}"


def why(cloud: Cloud, ssh: Ssh, fences: Fences, migration: Row) -> str:
    """Why it failed, as nova's instance action tells it, and the logs of both computes where they can be read."""
    logs = [
        f"the log on {host} ends: {tail}"
        for host in (migration["source_compute"], migration["dest_compute"])
        if host and (tail := _log(fences, ssh, host))
    ]
    return "; ".join([told(migration), _from_actions(cloud, migration), *logs])


def _from_actions(cloud: Cloud, migration: Row) -> str:
    server, name = migration["instance_uuid"], _ACTIONS[migration["migration_type"]]
    newest = next((row for row in reads.server_actions(cloud, server) if row["action"] == name), None)
    action = reads.server_action(cloud, server, newest["request_id"]) if newest else None
    for event in (action or {}).get("events") or []:
        if event.get("result") == "Error":
            # Details are told from 2.84 on; before that the last line of the traceback says as much.
            said = event.get("details") or (event.get("traceback") or "").strip().rpartition("\n")[2]
            return f"nova's {event['event']} says: {said or 'nothing'}"
    return "nova gives no reason"


def _log(fences: Fences, ssh: Ssh, host: str) -> str:
    known = fences.inventory.host(host)
    # Only where the inventory says how to reach it: a name alone may lead anywhere.
    return log_tail(Place(**facts_of(known)), ssh, _LOG_LINES) if known.address != host else ""
