"""Proof that a nova-compute is alive: it has cleaned up, its heartbeat advances, and it answers by RPC."""

import time
from collections.abc import Mapping
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.polls import Polls
from stackmend.clients.ssh import Ssh
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Wait
from stackmend.errors import CloudError, NeedsHands, Refused
from stackmend.tasks.compute_service import Place, StartCompute, log_tail, sent, state_of_compute

Row = dict[str, Any]
_LOOK_EVERY = 0.5
# Heartbeats behind the first that was seen: one could be a switch of the service, which moves the same time.
_BEATS = 2
_LOG_LINES = 200
# What a nova-compute that starts looks for, to remove the guests and allocations of what left it.
_TO_CLEAN = frozenset(["accepted", "pre-migrating", "done"])


class ReturnCompute(StartCompute):
    """Start nova-compute, anew where it runs but has not cleaned up after evacuations from its host.

    Nova removes the old guests and allocations only when nova-compute starts, and keeps the host down until
    then. Undo: stop it again, if that is what it was.
    """

    slug = "compute.return"
    title = "unmask and start nova-compute by SSH, and see that it cleans up what was evacuated from its host"

    def observe(  # type: ignore[override]
        self, record: Record, journal: Journal, ssh: Ssh, cloud: Cloud
    ) -> Seen:
        """Done when it runs and nothing is left to clean up. Raises NeedsHands while a server is leaving."""
        found = state_of_compute(self.place, self.seconds, journal, ssh)
        left = to_clean(cloud, self.target)
        if self._there(found) and not left:
            return Done({**found, "already": not record.acted})
        if sent(record):
            return InFlight()
        if under_way := [row["instance_uuid"] for row in left if row["status"] != "done"]:
            raise NeedsHands(
                f"servers are being evacuated from {self.target} ({', '.join(under_way[:3])}): let that end, then retry"
            )
        return NotStarted(found)

    def confirm(  # type: ignore[override]
        self, record: Record, journal: Journal, ssh: Ssh, cloud: Cloud
    ) -> Evidence:
        """It runs, and nova's records of evacuations from the host are completed."""
        deadline = time.monotonic() + self.seconds
        found = super().confirm(record, journal, ssh)
        while left := to_clean(cloud, self.target):
            if time.monotonic() >= deadline:
                raise NeedsHands(
                    f"nova-compute on {self.target} has started and {len(left)} evacuations from it are still "
                    f"{left[0]['status']} after {self.seconds:.0f} s; its log ends: {log_tail(self.place, ssh)}"
                )
            journal.pause(_LOOK_EVERY)
        return found


class HeartbeatAdvances(Wait):
    """Nova-compute's heartbeat reaches the database, again and again, through bus and conductor.

    Undo: nothing to undo, it only reads.
    """

    slug = "compute.heartbeat"
    title = "nova-compute's heartbeat advances"

    def confirm(self, journal: Journal, polls: Polls) -> Evidence:
        """Three times that differ. Raises NeedsHands at the deadline."""
        seen: list[str] = []

        def beats(row: Row | None) -> list[str] | None:
            moment = (row or {}).get("updated_at")
            if moment and moment not in seen:
                seen.append(moment)
            return seen if len(seen) > _BEATS else None

        try:
            return {"heartbeats": polls.computes.wait(self.target, beats, self.seconds, journal.check)}
        except NeedsHands:
            raise NeedsHands(
                f"nova-compute on {self.target} has shown {max(0, len(seen) - 1)} new heartbeats within "
                f"{self.seconds:.0f} s: does it reach the message bus, and does a conductor run? then retry"
            ) from None


class ComputeAnswers(Wait):
    """Nova-compute counts as up, and answers a call that nova-api makes to it over the message bus.

    The call is the hypervisor's uptime (compute API, before 2.88): whatever the driver says to it, 501 too, was
    said by that nova-compute. The last line of its log that speaks of AMQP is kept as a hint, no more.
    Undo: nothing to undo, it only reads.
    """

    slug = "compute.answers"
    title = "nova-compute is up and answers an RPC call"

    def __init__(self, host: str, node: str, place: Mapping[str, Any], seconds: float) -> None:
        super().__init__(host, seconds)
        self.node = node
        self.place = Place(**place)

    def confirm(self, journal: Journal, cloud: Cloud, polls: Polls, ssh: Ssh) -> Evidence:
        """Up, and an answer. Raises NeedsHands at the deadline, with the end of the log."""
        deadline = time.monotonic() + self.seconds

        def up(row: Row | None) -> str | None:
            return "up" if row and row["state"] == "up" else None

        try:
            polls.computes.wait(self.target, up, self.seconds, journal.check)
            while not (answer := uptime(cloud, self.node)) and time.monotonic() < deadline:
                journal.pause(_LOOK_EVERY)
        except (NeedsHands, CloudError) as error:
            raise NeedsHands(self._silent(str(error), ssh)) from error
        if not answer:
            raise NeedsHands(self._silent("nova-api says that it is unavailable", ssh))
        told = [line for line in log_tail(self.place, ssh, _LOG_LINES).split(" | ") if "AMQP" in line]
        return {"state": "up", "answered": answer, "log_hint": told[-1] if told else None}

    def _silent(self, why: str, ssh: Ssh) -> str:
        return f"nova-compute on {self.target} does not answer ({why}); its log ends: {log_tail(self.place, ssh)}"


def to_clean(cloud: Cloud, host: str) -> list[Row]:
    """The evacuations from a host that its nova-compute will clean up after when it starts."""
    found = reads.migrations(cloud, migration_type="evacuation", source_compute=host)
    return [row for row in found if row["status"] in _TO_CLEAN]


def uptime(cloud: Cloud, node: str) -> str:
    """What a hypervisor's nova-compute answered to nova-api; empty while nova-api does not ask it."""
    try:
        found = cloud.get(
            "compute", f"/os-hypervisors/{node}/uptime", microversion=cloud.pick("compute", "2.33", "2.53")
        )
    except Refused as refused:
        if refused.status == 501:
            return "that its driver can't tell"
        if refused.status == 400:
            return ""
        raise
    return str(found["hypervisor"]["uptime"]).strip()
