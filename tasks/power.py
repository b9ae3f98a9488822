"""Servers: started and stopped by nova, each proved."""

from collections.abc import Callable
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.poll import Awaited, Waiting
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import ApiStep
from stackmend.tasks.servers import RUNNING, arrived, present, state_of, told

Row = dict[str, Any]


class _Power(ApiStep):
    """One server brought to one power state (compute API: os-start, os-stop). Undo: the other way round."""

    action = ""
    vm_state = ""
    on_the_way = ""
    back = ""
    was = ""

    def __init__(self, server: str, seconds: float, why: str = "", when: str = "always") -> None:
        super().__init__(server, why, when)
        self.seconds = seconds

    def call(self) -> ApiCall:
        """The one call."""
        return _asked(self.target, self.action)

    def observe(self, record: Record, cloud: Cloud, polls: Polls) -> Seen:
        """Done when nova shows the state; under way once it was answered, or an action shows it."""
        row = present(polls.servers.look(self.target), self.target)
        found = state_of(row)
        if _is(found, self.vm_state):
            return Done({**found, "already": not record.acted})
        if found["task_state"] == self.on_the_way or (
            record.acted and arrived(record, cloud, self.target, self.action)
        ):
            return InFlight()
        return NotStarted(found)

    def confirm(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """The state, at nova and at the hypervisor. Raises NeedsHands with nova's own reason."""
        reached = Awaited(polls.servers, self.target, _reached(self.target, self.vm_state))
        try:
            found: Evidence = journal.wait(self.name, Waiting([reached], self.seconds))[0]
        except NeedsHands as late:
            raise NeedsHands(f"{late}; {told(reads.server(cloud, self.target))}") from late
        if found["vm_state"] == "error":
            raise NeedsHands(f"server {self.target} went to error: {told(reads.server(cloud, self.target))}")
        return found

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """The other way round. Raises ChangedSince when somebody else has changed its state since."""
        found = state_of(present(polls.servers.look(self.target, afresh=True), self.target))
        if _is(found, self.was):
            return {**found, "already": True}
        if not _is(found, self.vm_state):
            raise ChangedSince(
                f"server {self.target} is {found['vm_state']} (task {found['task_state']}), and it was left "
                f"{self.vm_state}: somebody else has changed it since"
            )
        journal.undoing(self.name, record, found)
        cloud.send(_asked(self.target, self.back), str(record.request_id))
        return polls.servers.wait(self.target, _reached(self.target, self.was), self.seconds, journal.check)


class Start(_Power):
    """Start a stopped server. Undo: stop it, if it still runs as it was left."""

    slug = "server.start"
    title = "start"
    burdens_host = True
    action, vm_state, on_the_way = "start", "active", "powering-on"
    back, was = "stop", "stopped"


class StartMoved(Start):
    """Start a server, once it stands on another host than ``source``. Undo: stop it."""

    def __init__(self, server: str, source: str, seconds: float, when: str) -> None:
        super().__init__(server, seconds, when=when)
        self.source = source

    def observe(self, record: Record, cloud: Cloud, polls: Polls) -> Seen:
        """As for any start; raises NeedsHands while the server is still on the dead host."""
        row = present(polls.servers.look(self.target), self.target)
        if row["OS-EXT-SRV-ATTR:host"] == self.source:
            raise NeedsHands(f"server {self.target} is still on {self.source}: its evacuation did not end well")
        return super().observe(record, cloud, polls)


class Stop(_Power):
    """Stop a running server. Undo: start it, if it still is stopped as it was left."""

    slug = "server.stop"
    title = "stop"
    action, vm_state, on_the_way = "stop", "stopped", "powering-off"
    back, was = "start", "active"


def _asked(server: str, action: str) -> ApiCall:
    return ApiCall("compute", "POST", f"/servers/{server}/action", {f"os-{action}": None})


def _is(found: Row, vm_state: str) -> bool:
    runs = vm_state != "active" or found["power_state"] == RUNNING
    return found["vm_state"] == vm_state and found["task_state"] is None and runs


def _reached(server: str, vm_state: str) -> Callable[[Row | None], Evidence | None]:
    def reached(row: Row | None) -> Evidence | None:
        found = state_of(present(row, server))
        broken = found["vm_state"] == "error" and found["task_state"] is None
        return found if broken or _is(found, vm_state) else None

    return reached
