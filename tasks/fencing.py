"""Fencing: a host that is to be replaced is proved to be off first, and the proof is kept as a receipt."""

import time

from stackmend.clients.fencing import OFF, ON, FenceCommand, Fences
from stackmend.engine import clock
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Step
from stackmend.errors import NeedsHands

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

    def observe(self, record: Record, fences: Fences) -> Seen:
        """Read the power first: what is as it should be needs no switching, and answers no order well."""
        found = fences.power(self.target)
        if found == self.state:
            return Done(self._receipt(record))
        return InFlight() if record.answered is not None else NotStarted({"power": found})

    def act(self, fences: Fences) -> str:
        """Give the order."""
        return fences.switch(self.target, self.state)

    def confirm(self, record: Record, journal: Journal, fences: Fences) -> Evidence:
        """The power itself says so: an order that was taken is no proof."""
        deadline = time.monotonic() + self.seconds
        while fences.power(self.target) != self.state:
            if time.monotonic() >= deadline:
                raise NeedsHands(
                    f"{self.agent} was told to switch {self.target} {self.state} and its power is still not "
                    f"{self.state} after {self.seconds:.0f} s: switch it by hand, then retry"
                )
            journal.pause(_LOOK_EVERY)
        return self._receipt(record)

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
