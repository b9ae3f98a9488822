"""Fencing: a host that is to be replaced is proved to be off first, and the proof is kept as a receipt."""

import time

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.fencing import OFF, ON, FenceCommand, Fences
from stackmend.clients.polls import Polls
from stackmend.engine import clock
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Step
from stackmend.errors import ChangedSince, HostUnreachable, NeedsHands
from stackmend.tasks.hosts import ForceDown

_LOOK_EVERY = 0.5


class _Power(Step):
    """The power of one host, switched by its fence agent."""

    state = ""

    def __init__(self, host: str, agent: str, seconds: float) -> None:
        super().__init__(host)
        self.agent = agent
        self.seconds = seconds

    def effects(self) -> list[FenceCommand]:
        """The one order to the agent."""
        return [FenceCommand(self.target, self.agent, self.state)]

    def observe(self, record: Record, journal: Journal, fences: Fences) -> Seen:
        """Read the power first: what is as it should be needs no switching, and answers no order well."""
        found = self._read(journal, fences, time.monotonic() + self.seconds)
        if found == self.state:
            return Done(self._receipt(record))
        return InFlight() if record.answered is not None else NotStarted({"power": found})

    def act(self, fences: Fences) -> str:
        """Give the order."""
        return fences.switch(self.target, self.state)

    def confirm(self, record: Record, journal: Journal, fences: Fences) -> Evidence:
        """The power itself says so: an order that was taken is no proof."""
        deadline = time.monotonic() + self.seconds
        while self._read(journal, fences, deadline) != self.state:
            if time.monotonic() >= deadline:
                raise NeedsHands(
                    f"{self.agent} was told to switch {self.target} {self.state} and its power is still not "
                    f"{self.state} after {self.seconds:.0f} s: switch it by hand, then retry"
                )
            journal.pause(_LOOK_EVERY)
        return self._receipt(record)

    def _read(self, journal: Journal, fences: Fences, deadline: float) -> str:
        """The power; a controller that does not answer just now is asked again until the deadline."""
        while True:
            try:
                return fences.power(self.target)
            except HostUnreachable:
                if time.monotonic() >= deadline:
                    raise
            journal.pause(_LOOK_EVERY)

    def _receipt(self, record: Record) -> Evidence:
        return {"power": self.state, "agent": self.agent, "read_at": clock.now(), "already": not record.acted}


class Fence(_Power):
    """Switch a host off, and prove it: the receipt without which no server of it may run elsewhere.

    Undo: none. What ran on the host is gone from its memory: the point of no return.
    """

    slug = "host.fence"
    title = "fence: switch the host off, and read that it is"
    undoable = False
    state = OFF


class PowerOn(_Power):
    """Switch a host on. Undo: none; switching it off again is fencing."""

    slug = "host.power-on"
    title = "switch the host on, and read that it is"
    undoable = False
    state = ON


class KeepDown(ForceDown):
    """Force a fenced host down. Undo: take that back, as long as no server of it was evacuated."""

    def undo(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Evidence:
        """As for any; a host whose servers run elsewhere must not count as up before it has cleaned up."""
        left = {
            row["instance_uuid"]
            for row in reads.migrations(cloud, migration_type="evacuation", source_compute=self.target)
            if row["status"] not in ("completed", "error", "failed", "cancelled")
        }
        if left:
            raise ChangedSince(
                f"{len(left)} servers were evacuated from {self.target}, which has not cleaned up after them: it stays "
                f"down; `stackmend run host-return {self.target}` brings it back"
            )
        return super().undo(record, journal, cloud, polls)


class FenceStatement(Step):
    """A named operator states that a host is off, and how they know: the receipt where no agent can tell.

    Undo: nothing to undo, it only keeps what was said.
    """

    slug = "host.fence-statement"
    title = "fenced, by a named operator's statement"
    reads_only = True

    def __init__(self, host: str, statement: str) -> None:
        super().__init__(host, why=statement)
        self.statement = statement

    def observe(self) -> Seen:
        """Keep it as evidence; who said it is in the plan."""
        return Done({"power": OFF, "statement": self.statement, "read_at": clock.now()})
