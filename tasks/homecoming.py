"""Servers of a host that is back: those that ran are brought up, once each, and what stays down is told why."""

from collections.abc import Mapping
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.polls import Polls
from stackmend.clients.ssh import Ssh
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, Seen
from stackmend.errors import NeedsHands, Refused
from stackmend.tasks.compute_service import Place, log_tail
from stackmend.tasks.power import Start
from stackmend.tasks.servers import RUNNING, Reboot, present, state_of, told
from stackmend.tasks.verification import VerifyServer

Row = dict[str, Any]


class StartReturned(Start):
    """Start a server that nova itself stopped; what does not come up is left to the reboot. Undo: stop it."""

    title = "start, if nova itself has stopped it"

    def __init__(self, server: str, seconds: float) -> None:
        super().__init__(server, seconds)
        self.when = "only if it is stopped"

    def observe(self, record: Record, cloud: Cloud, polls: Polls) -> Seen:
        """Done unless it is stopped. Raises NeedsHands when a user stopped it since the plan was made."""
        row = present(polls.servers.look(self.target), self.target)
        if row["OS-EXT-STS:vm_state"] != "stopped" and not record.acted:
            return Done({"left": f"it is {row['OS-EXT-STS:vm_state']}"})
        if not record.acted and _stopped_by_user(cloud, self.target):
            raise NeedsHands(f"a user has stopped server {self.target} since the plan was made: skip its steps")
        return super().observe(record, cloud, polls)

    def confirm(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """Whether it came up."""
        try:
            return {"came_up": True, **super().confirm(record, journal, cloud, polls)}
        except NeedsHands as error:
            return {"came_up": False, "why": str(error)}


class RebootReturned(Reboot):
    """Hard-reboot a server that does not run, once; the hypervisor itself is asked. Undo: none."""

    title = "hard reboot, once, if the hypervisor says that it does not run"

    def __init__(self, server: str, host: str, place: Mapping[str, Any], seconds: float) -> None:
        super().__init__(server, host, seconds)
        self.when = "only if it does not run"
        self.place = Place(**place)

    def observe(self, record: Record, cloud: Cloud, polls: Polls) -> Seen:
        """Done when its guest runs."""
        if not record.acted and runs(cloud, self.target):
            return Done({"runs": True})
        return super().observe(record, cloud, polls)

    def confirm(  # type: ignore[override]
        self, record: Record, journal: Journal, cloud: Cloud, polls: Polls, ssh: Ssh
    ) -> Evidence:
        """As for any reboot. Raises NeedsHands with nova's reason and the end of nova-compute's log."""
        try:
            return super().confirm(record, journal, cloud, polls)
        except NeedsHands as error:
            raise NeedsHands(f"{error}; the log of nova-compute ends: {log_tail(self.place, ssh)}") from error


class VerifyReturned(VerifyServer):
    """The server is as it was captured, and its guest runs. Undo: nothing to undo, it only reads."""

    def __init__(self, server: str, wanted: dict[str, Any], place: Mapping[str, Any], seconds: float) -> None:
        super().__init__(server, wanted, seconds)
        self.place = Place(**place)

    def confirm(  # type: ignore[override]
        self, record: Record, journal: Journal, cloud: Cloud, polls: Polls, ssh: Ssh
    ) -> Evidence:
        """Everything holds. Raises NeedsHands with nova's reason and the end of nova-compute's log."""
        try:
            return super().confirm(record, journal, polls)
        except NeedsHands as error:
            why = told(reads.server(cloud, self.target))
            raise NeedsHands(f"{error}; {why}; the log of nova-compute ends: {log_tail(self.place, ssh)}") from error


def runs(cloud: Cloud, server: str) -> bool:
    """Whether the hypervisor itself says that a guest runs (compute API: diagnostics, 2.48, by RPC).

    Where its driver knows no diagnostics, nova's own last knowledge.
    """
    try:
        cloud.get("compute", f"/servers/{server}/diagnostics", microversion=cloud.pick("compute", "2.1", "2.48"))
    except Refused as refused:
        if refused.status == 409:
            return False
        if refused.status == 501:
            return bool(state_of(reads.server(cloud, server) or {})["power_state"] == RUNNING)
        raise
    return True


def _stopped_by_user(cloud: Cloud, server: str) -> bool:
    stops = [row for row in reads.server_actions(cloud, server) if row["action"] == "stop"]
    return bool(stops and stops[0]["user_id"])
