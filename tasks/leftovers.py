"""What a server left behind on a host that it is no longer on: allocations, bindings of its ports."""

from collections.abc import Mapping
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, NotStarted, Seen, Step
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import ApiStep

Row = dict[str, Any]
_VERSION = "1.28"


class DropAllocation(ApiStep):
    """Take from a server what it holds on a host that it is not on (placement API: PUT /allocations, 1.28).

    ``held`` is the allocation as captured, by provider; ``source`` the provider to be dropped. Written under the
    consumer's generation: who changed it in between wins. Undo: what it held there, beside what it holds then.
    """

    slug = "allocation.drop"
    title = "drop what the server still holds in placement on the host that it has left"

    def __init__(self, server: str, source: str, held: Mapping[str, Any], why: str = "") -> None:
        super().__init__(server, why)
        self.source = source
        self.held = held

    def call(self) -> ApiCall:
        """All that it held when it was captured, less this host."""
        return self._without(self.held)

    def act(self, record: Record, cloud: Cloud) -> str:
        """All that it holds now, less this host."""
        return cloud.send(self._without(record.mark["held"]), str(record.request_id)).request_id

    def observe(self, record: Record, cloud: Cloud) -> Seen:
        """Done when it holds nothing there. Raises NeedsHands when it holds nothing elsewhere."""
        found = reads.allocations(cloud, self.target)
        if self.source not in found["allocations"]:
            return Done({"providers": sorted(found["allocations"]), "already": not record.acted})
        if len(found["allocations"]) == 1:
            raise NeedsHands(
                f"server {self.target} holds nothing in placement but on the host that it has left: "
                f"`nova-manage placement heal_allocations --instance {self.target} --force`, then retry"
            )
        return NotStarted({"resources": found["allocations"][self.source]["resources"]}, {"held": found})

    def confirm(self, record: Record, cloud: Cloud) -> Evidence:
        """Placement shows it."""
        seen = self.observe(record, cloud)
        if not isinstance(seen, Done):
            raise NeedsHands(f"placement took the change of server {self.target}'s allocations and does not show it")
        return seen.evidence

    def undo(self, record: Record, journal: Journal, cloud: Cloud) -> Evidence:
        """Give it back what it held there."""
        found = reads.allocations(cloud, self.target)
        if self.source in found["allocations"]:
            return {"already": True}
        if not found["allocations"]:
            raise ChangedSince(f"server {self.target} holds nothing in placement any more: somebody else took it away")
        journal.undoing(self.name, record, found)
        back = {self.source: {"resources": record.before["resources"]}}
        cloud.send(_put(self.target, found, {**_resources(found), **back}), str(record.request_id))
        return {"restored": record.before["resources"]}

    def _without(self, held: Mapping[str, Any]) -> ApiCall:
        left = {provider: row for provider, row in _resources(held).items() if provider != self.source}
        return _put(self.target, held, left)


class DropBinding(ApiStep):
    """Delete an inactive binding that a port has on a host (network API: DELETE /ports/{id}/bindings/{host}).

    It would make the next migration to that host fail. Neutron lets only users with the service role do it.
    Undo: an inactive binding again.
    """

    slug = "binding.drop"
    title = "delete the port's inactive binding"

    def __init__(self, port: str, host: str, why: str = "") -> None:
        super().__init__(f"{port}@{host}", why)
        self.port = port
        self.host = host

    def call(self) -> ApiCall:
        """The one call."""
        return ApiCall("network", "DELETE", f"/ports/{self.port}/bindings/{self.host}")

    def observe(self, record: Record, cloud: Cloud) -> Seen:
        """Done when there is none. Raises NeedsHands when it has become active."""
        found = self._status(cloud)
        if found is None:
            return Done({"already": not record.acted})
        if found == "ACTIVE":
            raise NeedsHands(f"port {self.port} is bound on {self.host} now: skip this step, nothing is left over")
        return NotStarted({"status": found})

    def confirm(self, cloud: Cloud) -> Evidence:
        """Neutron shows none."""
        if self._status(cloud) is not None:
            raise NeedsHands(
                f"neutron took the deletion of port {self.port}'s binding on {self.host} and shows it still"
            )
        return {}

    def undo(self, record: Record, journal: Journal, cloud: Cloud) -> Evidence:
        """Make one again."""
        if self._status(cloud) is not None:
            return {"already": True}
        journal.undoing(self.name, record, {})
        call = ApiCall("network", "POST", f"/ports/{self.port}/bindings", {"binding": {"host": self.host}})
        cloud.send(call, str(record.request_id))
        return {"restored": record.before}

    def _status(self, cloud: Cloud) -> str | None:
        found = reads.port_bindings(cloud, self.port) or []
        return next((str(row["status"]) for row in found if row["host"] == self.host), None)


class HostClean(Step):
    """Nothing is left on a host of servers that are elsewhere. Undo: nothing to undo, it only reads."""

    slug = "host.clean"
    title = "see what is left on the host of servers that are elsewhere"
    reads_only = True

    def observe(self, cloud: Cloud) -> Seen:
        """What holds something there in placement, and is not there at nova."""
        here = {row["id"] for row in reads.servers(cloud, host=self.target)}
        return Done(
            {"servers": len(here), "allocations_left": sorted(set(reads.allocations_on(cloud, self.target)) - here)}
        )


def _resources(held: Mapping[str, Any]) -> Row:
    return {provider: {"resources": row["resources"]} for provider, row in held["allocations"].items()}


def _put(server: str, held: Mapping[str, Any], allocations: Row) -> ApiCall:
    body = {
        "allocations": allocations,
        "project_id": held["project_id"],
        "user_id": held["user_id"],
        "consumer_generation": held["consumer_generation"],
    }
    return ApiCall("placement", "PUT", f"/allocations/{server}", body, _VERSION)
