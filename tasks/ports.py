"""Ports: bound to another host."""

from typing import Any

from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import ApiStep

Row = dict[str, Any]
_UNBOUND = frozenset(["binding_failed", "unbound", None])


class RebindPort(ApiStep):
    """Bind a port to another host (network API: PUT /ports, binding:host_id).

    Neutron binds anew: type and details come from the new host's agent, and the agents are told. A host whose
    L2 agent is dead gets a failed binding and a 200. Undo: bound to the host it was bound to; while that
    host's agent is dead the binding fails, and the evidence says so.
    """

    slug = "port.rebind"
    title = "bind the port to the other host"

    def __init__(self, port: str, source: str, target: str, seconds: float, why: str = "") -> None:
        super().__init__(port, why)
        self.source = source
        self.to = target
        self.seconds = seconds

    def call(self) -> ApiCall:
        """The one call."""
        return self._bind(self.to)

    def observe(self, record: Record, polls: Polls) -> Seen:
        """Done when it is bound there. Raises NeedsHands when somebody has bound it to a third host."""
        found = _binding(polls.ports.look(self.target), self.target)
        if found["host"] == self.to and found["vif_type"] not in _UNBOUND:
            return Done({**found, "already": not record.acted})
        if found["host"] not in (self.source, self.to, ""):
            raise NeedsHands(
                f"port {self.target} was bound on {self.source} when the plan was made and is on {found['host']} now: "
                "make a new plan"
            )
        if found["host"] == self.to and record.acted and record.answered is None:
            return InFlight()
        return NotStarted(found)

    def confirm(self, record: Record, journal: Journal, polls: Polls) -> Evidence:
        """Neutron shows it bound. Raises NeedsHands at once for a binding that failed."""

        def bound(row: Row | None) -> Evidence | None:
            found = _binding(row, self.target)
            if found["host"] == self.to and found["vif_type"] == "binding_failed":
                raise NeedsHands(
                    f"neutron could not bind port {self.target} on {self.to}: is the L2 agent there alive "
                    f"(`openstack network agent list --host {self.to}`), and may it bind this network? then retry"
                )
            return found if found["host"] == self.to and found["vif_type"] not in _UNBOUND else None

        return polls.ports.wait(self.target, bound, self.seconds, journal.check)

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """Bind it back."""
        found, before = _binding(polls.ports.look(self.target), self.target), record.before
        if found["host"] == before["host"]:
            return {"already": True, **found}
        if found["host"] != self.to:
            raise ChangedSince(f"port {self.target} is bound on {found['host']} now: somebody else did that")
        journal.undoing(self.name, record, found)
        cloud.send(self._bind(before["host"]), str(record.request_id))

        def back(row: Row | None) -> Evidence | None:
            again = _binding(row, self.target)
            return again if again["host"] == before["host"] else None

        again = polls.ports.wait(self.target, back, self.seconds, journal.check)
        failed = again["vif_type"] in _UNBOUND and before["vif_type"] not in _UNBOUND
        left = f"not bound until the L2 agent of {before['host']} lives and the port is bound again"
        return {**again, "left": left} if failed else again

    def _bind(self, host: str) -> ApiCall:
        return ApiCall("network", "PUT", f"/ports/{self.target}", {"port": {"binding:host_id": host}})


def _binding(row: Row | None, port: str) -> Row:
    if row is None:
        raise NeedsHands(f"port {port} no longer exists: skip this step, or abandon the run")
    return {"host": row.get("binding:host_id"), "vif_type": row.get("binding:vif_type"), "status": row["status"]}
