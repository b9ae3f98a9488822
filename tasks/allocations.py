"""Allocations: what a server holds in placement, moved with it."""

from collections.abc import Mapping
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, NotStarted, Seen
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import ApiStep

Row = dict[str, Any]
_VERSION = "1.28"


class MoveAllocation(ApiStep):
    """Give a server's resources on one provider to another one (placement API: PUT /allocations, 1.28).

    The guides' way is `nova-manage placement heal_allocations --force`. ``held`` is the allocation as captured:
    resources by provider, project, user and generation, without which placement refuses.

    Undo: the old one, under the generation of then, if nobody has changed it since.
    """

    slug = "allocation.move"
    title = "move its allocation in placement"

    def __init__(self, server: str, held: Mapping[str, Any], source: str, target: str, why: str = "") -> None:
        super().__init__(server, why)
        self.held = held
        self.source = source
        self.to = target

    def call(self) -> ApiCall:
        """All that it holds, on the target, under the generation that was captured."""
        return self._put({self.to: self.held["resources"]}, self.held["generation"])

    def observe(self, record: Record, cloud: Cloud) -> Seen:
        """Look at what it holds. Raises NeedsHands when that is neither the old nor the new."""
        found = _found(cloud, self.target)
        if found["resources"] == {self.to: self.held["resources"]}:
            return Done({**found, "already": not record.acted})
        if found["resources"] == {self.source: self.held["resources"]}:
            return NotStarted(found)
        raise NeedsHands(
            f"server {self.target} holds {found['resources'] or 'nothing'} in placement, and held "
            f"{self.held['resources']} on {self.source} when the plan was made: make a new plan"
        )

    def confirm(self, record: Record, cloud: Cloud) -> Evidence:
        """Placement shows it."""
        seen = self.observe(record, cloud)
        if not isinstance(seen, Done):
            raise NeedsHands(f"placement took the new allocation of server {self.target} and shows the old one")
        return seen.evidence

    def undo(self, record: Record, journal: Journal, cloud: Cloud) -> Evidence:
        """Put the old one back."""
        found = _found(cloud, self.target)
        if found["resources"] == {self.source: self.held["resources"]}:
            return {"already": True, **found}
        if found["resources"] != {self.to: self.held["resources"]}:
            raise ChangedSince(
                f"server {self.target} holds {found['resources'] or 'nothing'} in placement now: somebody else "
                "changed it, so it stays as it is"
            )
        journal.undoing(self.name, record, found)
        cloud.send(self._put({self.source: self.held["resources"]}, found["generation"]), str(record.request_id))
        return _found(cloud, self.target)

    def _put(self, resources: Mapping[str, Any], generation: int) -> ApiCall:
        body = {
            "allocations": {provider: {"resources": amounts} for provider, amounts in resources.items()},
            "project_id": self.held["project"],
            "user_id": self.held["user"],
            "consumer_generation": generation,
        }
        return ApiCall("placement", "PUT", f"/allocations/{self.target}", body, _VERSION)


def _found(cloud: Cloud, server: str) -> Row:
    found = reads.allocations(cloud, server)
    resources = {provider: row["resources"] for provider, row in found["allocations"].items()}
    return {"resources": resources, "generation": found.get("consumer_generation")}
