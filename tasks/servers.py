"""Servers: bring one back, once; and see that it is back."""

import time
from collections.abc import Callable
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.database import RowChange
from stackmend.clients.poll import Awaited, Waiting, look_together
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import ApiStep, Databases

Row = dict[str, Any]
# Nova's power state of a running guest (nova.compute.power_state).
RUNNING = 1


def state_of(row: Row) -> dict[str, Any]:
    """A server's states, under short names."""
    return {
        "vm_state": row.get("OS-EXT-STS:vm_state"),
        "task_state": row.get("OS-EXT-STS:task_state"),
        "power_state": row.get("OS-EXT-STS:power_state"),
        "host": row.get("OS-EXT-SRV-ATTR:host"),
        "updated": row.get("updated"),
    }


def present(row: Row | None, server: str) -> Row:
    """The row, provided that the server exists. Raises NeedsHands."""
    if row is None or row.get("status") == "DELETED":
        raise NeedsHands(f"server {server} no longer exists: skip this lane's steps, or abandon the run")
    return row


def arrived(record: Record, cloud: Cloud, server: str, action: str) -> str | None:
    """Nova's request id of what we asked: as it was answered, or of an action not older than the intent."""
    if record.answered:
        return record.answered
    since = reads.openstack_time(record.before.get("updated"))
    for found in reads.server_actions(cloud, server):
        started = reads.openstack_time(found["start_time"])
        if found["action"] == action and (since is None or started is None or started >= since):
            return str(found["request_id"])
    return None


def told(row: Row | None) -> str:
    """What nova itself says of a server, in one clause."""
    row = row or {}
    fault = (row.get("fault") or {}).get("message") or "nova gives no fault"
    return f"{fault}; it is {row.get('OS-EXT-STS:vm_state')}, task {row.get('OS-EXT-STS:task_state')}"


class ClearTask(ApiStep):
    """Free a server of a task state that no hard reboot is accepted in (compute API: os-resetState).

    Undo: the row's vm_state and task_state as they were, by SQL, because the API can't write a task state;
    without nova's database the step can't be taken back.
    """

    slug = "server.clear-task"
    title = "clear the stuck task state"

    def __init__(self, server: str, vm_state: str, task_state: str, undoable: bool, why: str = "") -> None:
        super().__init__(server, why)
        self.was = {"vm_state": vm_state, "task_state": task_state}
        self.undoable = undoable

    def call(self) -> ApiCall:
        """os-resetState sets the vm_state it is given and clears the task state."""
        state = "error" if self.was["vm_state"] == "error" else "active"
        return ApiCall("compute", "POST", f"/servers/{self.target}/action", {"os-resetState": {"state": state}})

    def observe(self, record: Record, polls: Polls) -> Seen:
        """Done when the server has no task state."""
        row = present(polls.servers.look(self.target), self.target)
        if row["OS-EXT-STS:task_state"] is None:
            return Done(state_of(row))
        return NotStarted(self.was)

    def confirm(self, record: Record, journal: Journal, polls: Polls) -> Evidence:
        """The task state is gone."""

        def free(row: Row | None) -> Evidence | None:
            found = state_of(present(row, self.target))
            return found if found["task_state"] is None else None

        return polls.servers.wait(self.target, free, 60, journal.check)

    def undo(self, record: Record, journal: Journal, databases: Databases) -> Evidence:
        """Write both states back, if nothing has been done with the server since."""
        rows = databases["nova"].rows("instances", {"uuid": self.target}, ["id", "vm_state", "task_state"])
        found = {name: rows[0][name] for name in self.was} if rows else {}
        if found == self.was:
            return {"already": True}
        if not rows or found["task_state"] is not None:
            raise ChangedSince(
                f"server {self.target} has been given other work since ({found}): its task state stays as it is"
            )
        journal.undoing(self.name, record, found)
        databases["nova"].change([RowChange("nova", "instances", {"id": rows[0]["id"]}, self.was, expect=found)])
        return {"restored": self.was}


class Reboot(ApiStep):
    """Hard-reboot a server, once (compute API: reboot; admin guide, "Recover cloud after disaster", step 5).

    Nova accepts a second hard reboot while the first runs, and keeps one that was sent to a dead host until
    that host returns. So: it is sent only to a host whose nova-compute is up, and never again once an
    instance action shows, or the answer showed, that it arrived.

    Undo: none. A guest that has been started can't be un-started without harm: the point of no return.
    """

    slug = "server.reboot"
    title = "hard reboot, once"
    burdens_host = True
    undoable = False

    def __init__(self, server: str, host: str, seconds: float, why: str = "") -> None:
        super().__init__(server, why)
        self.host = host
        self.seconds = seconds

    def call(self) -> ApiCall:
        """The hard reboot: it re-plugs volumes and ports with what nova has stored."""
        return ApiCall("compute", "POST", f"/servers/{self.target}/action", {"reboot": {"type": "HARD"}})

    def observe(self, record: Record, cloud: Cloud, polls: Polls) -> Seen:
        """Under way once it was answered, or once nova shows a reboot that is not older than the intent.

        Raises NeedsHands for a host that can't do it now, before anything is sent.
        """
        if record.acted and arrived(record, cloud, self.target, "reboot"):
            return InFlight()
        found, service = look_together((polls.servers, self.target), (polls.computes, self.host))
        row, service = present(found, self.target), service or {}
        if service.get("state") != "up":
            raise NeedsHands(
                f"nova-compute on {self.host} is {service.get('state', 'unknown')}: a reboot sent now would wait there "
                "and fire later; bring the host back, then retry"
            )
        rebooting = (row["OS-EXT-STS:task_state"] or "").startswith("reboot") and not record.acted
        if rebooting and self._another_runs(cloud, service["updated_at"]):
            return InFlight()
        return NotStarted(record.before or state_of(row))

    def confirm(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """Active, running, no task, and changed since the intent. Raises NeedsHands with nova's own reason."""
        deadline = time.monotonic() + self.seconds
        try:
            while True:
                left = deadline - time.monotonic()
                back = Awaited(polls.servers, self.target, self._settled(record))
                found: Evidence = journal.wait(self.name, Waiting([back], left))[0]
                if self._proved(record, found, cloud):
                    break
                journal.pause(min(0.5, max(left, 0.0)))
        except NeedsHands as late:
            raise NeedsHands(f"{late}; {self._told(record, cloud, polls)}") from late
        if found["vm_state"] == "error":
            raise NeedsHands(f"server {self.target} went to error: {self._told(record, cloud, polls)}")
        return found

    def _settled(self, record: Record) -> Callable[[Row | None], Evidence | None]:
        before = record.before.get("updated") or ""

        def settled(row: Row | None) -> Evidence | None:
            found = state_of(present(row, self.target))
            # A row as it was before the call proves nothing: after a power loss nova still says "running".
            if found["task_state"] is not None or (record.acted and found["updated"] < before):
                return None
            back = found["vm_state"] == "active" and found["power_state"] == RUNNING
            return found if back or found["vm_state"] == "error" else None

        return settled

    def _proved(self, record: Record, found: Evidence, cloud: Cloud) -> bool:
        # Nova's times have whole seconds: within the same one, only the action's own event tells.
        if not record.acted or found["updated"] > (record.before.get("updated") or ""):
            return True
        request = arrived(record, cloud, self.target, "reboot")
        action = reads.server_action(cloud, self.target, request) if request else None
        return any(event.get("finish_time") for event in (action or {}).get("events") or [])

    def _another_runs(self, cloud: Cloud, heartbeat: str) -> bool:
        """Whether somebody else's reboot may still end; one older than a boot may take was cut off.

        Told by nova's own clock: the heartbeat of the host.
        """
        now = reads.openstack_time(heartbeat)
        begun = [
            reads.openstack_time(action["start_time"])
            for action in reads.server_actions(cloud, self.target)
            if action["action"] == "reboot"
        ]
        return any(start and now and (now - start).total_seconds() < self.seconds for start in begun)

    def _told(self, record: Record, cloud: Cloud, polls: Polls) -> str:
        """What nova itself says about it, in one clause."""
        service = polls.computes.look(self.host) or {}
        where = f"on {self.host} (nova-compute {service.get('state', 'unknown')})"
        return f"{told(reads.server(cloud, self.target))}, {where}; request {record.answered or record.request_id}"
