"""What live and cold migrations share: sent once, watched by nova's migration records, taken back once."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from stackmend.clients import reads
from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen
from stackmend.errors import AnswerLost, ChangedSince, CloudError, NeedsHands, Refused
from stackmend.tasks import moves
from stackmend.tasks.effects import ApiStep
from stackmend.tasks.moves import Move
from stackmend.tasks.servers import present, state_of

Row = dict[str, Any]
Known = Callable[[Row | None], list[Row]]
REFUSED = "refused: "
# Seconds: for nova to show a migration that it took; for a server to be at rest after one; the longest of all.
_SHOWS_WITHIN, RESTS_WITHIN, LONGEST = 120.0, 120.0, 24 * 3600.0
# How many deadlines a migration may wait in nova's own queue: a compute sends one server at a time.
_IN_QUEUE = 10
_LOOK_AGAIN = 0.25
_WAITING = frozenset(["accepted", "queued"])


class Moving(ApiStep):
    """One server moved to another host, once.

    It is sent only while nova shows no migration newer than the one before the intent, and never again by
    itself once nova has taken it. One that somebody else began from the same host is adopted.
    """

    kinds: ClassVar[frozenset[str]] = frozenset()
    action: ClassVar[str] = ""
    states: tuple[str, ...] = ()

    def __init__(self, server: str, move: Move, when: str = "always", why: str = "") -> None:
        super().__init__(server, why, when)
        self.move = move

    def sending(self, host: str | None) -> ApiCall:
        """The call that moves it to a host; None: to the scheduler's choice."""
        raise NotImplementedError

    def busy(self, task: str | None) -> bool:
        """Whether nova is at work on such a move."""
        raise NotImplementedError

    def call(self) -> ApiCall:
        """Without a host named, the scheduler chooses."""
        return self.sending(self.move.to)

    def observe(self, record: Record, journal: Journal, cloud: Cloud, polls: Polls) -> Seen:
        """What the migration records say."""
        found = self.look(polls)
        listed = polls.migrations.look(self.target, afresh=True)
        if record.acted:
            taken = record.answered is not None or self.busy(found["task_state"]) or self.arrived(record, cloud)
            if taken or moves.since(self.known(listed), record):
                return InFlight()
            return NotStarted(mark=self.mark(listed, cloud))
        if needless := self.needless(found, journal):
            return Done({**found, **needless})
        if self.busy(found["task_state"]) and any(moves.under_way(item) for item in self.known(listed)[-1:]):
            return InFlight()
        if why := self.hindrance(found):
            if self.move.gentle:
                return Done({"moved": False, "why": why})
            raise NeedsHands(f"server {self.target} can't be moved now: {why}")
        return NotStarted(found, self.mark(listed, cloud))

    def mark(self, listed: Row | None, cloud: Cloud) -> Row:
        """What parts this attempt from older ones: the newest migration, and the newest action of this kind."""
        return {"last": moves.last(listed), "action": self.newest_action(cloud)}

    def arrived(self, record: Record, cloud: Cloud) -> bool:
        """Whether nova shows an action that it did not show at the intent; times say less, they have whole seconds."""
        return self.newest_action(cloud) != record.mark.get("action")

    def newest_action(self, cloud: Cloud) -> str | None:
        """The request id of the server's newest action of this kind."""
        found = (row["request_id"] for row in reads.server_actions(cloud, self.target) if row["action"] == self.action)
        return next(found, None)

    def act(self, record: Record, cloud: Cloud) -> str:
        """Send it. A refusal ends a gentle step well: the next one goes on."""
        try:
            return super().act(record, cloud)
        except Refused as refused:
            if self.move.gentle:
                return f"{REFUSED}{refused}"
            raise

    def look(self, polls: Polls) -> Row:
        """The server's states now."""
        return state_of(present(polls.servers.look(self.target, afresh=True), self.target))

    def known(self, listed: Row | None) -> list[Row]:
        """Its migrations of this kind, away from the source."""
        return [item for item in moves.of(listed, self.kinds) if item["source_compute"] == self.move.source]

    def needless(self, found: Row, _journal: Journal) -> Evidence | None:
        """Evidence that it need not go; None when it must."""
        return {"moved": True, "already": True} if found["host"] != self.move.source else None

    def hindrance(self, found: Row) -> str:
        """Why nova would not move it so now; empty when it would."""
        if found["task_state"] is not None:
            return f"it is {found['task_state']}: let that end first"
        fit = " or ".join(self.states)
        return "" if found["vm_state"] in self.states else f"it is {found['vm_state']}, and must be {fit} for it"

    def watched(self, record: Record, journal: Journal, polls: Polls, known: Known, seconds: float) -> Row:
        """The migration once it ended, or ``seconds`` after it was seen to begin. Raises NeedsHands for none."""
        asked, begun = time.monotonic(), [0.0]

        def ended(row: Row | None) -> Row | None:
            found = moves.since(known(row), record) if record.acted else next(iter(known(row)[-1:]), None)
            now = time.monotonic()
            if found is None and now - asked > _SHOWS_WITHIN:
                raise NeedsHands(
                    f"nova took the {self.action} of server {self.target} ({record.answered}) and shows no record of "
                    f"it after {_SHOWS_WITHIN:.0f} s: look for that request in the conductor's log"
                )
            if found is None or not moves.under_way(found):
                return found
            if found["status"] not in _WAITING:
                begun[0] = begun[0] or now
            late = now - begun[0] > seconds if begun[0] else now - asked > _IN_QUEUE * seconds
            return found if late else None

        return polls.migrations.wait(self.target, ended, LONGEST, journal.check)

    def stayed(self, record: Record, journal: Journal, why: str) -> Evidence:
        """It came to nothing: nothing is to be undone, and a retry may send it again. Raises unless it is gentle."""
        journal.withdraw(self.name, record)
        if self.move.gentle:
            return {"moved": False, "why": why}
        raise NeedsHands(f"server {self.target} was not moved, and is where it was: {why}")

    def at_rest(self, host: str, states: tuple[str, ...], polls: Polls, journal: Journal) -> Evidence:
        """The server's states once it stands on ``host`` without a task. Raises NeedsHands when it is in error."""

        def rests(row: Row | None) -> Evidence | None:
            found = state_of(present(row, self.target))
            there = found["host"] == host and found["task_state"] is None
            return found if there and found["vm_state"] in (*states, "error") else None

        found = polls.servers.wait(self.target, rests, RESTS_WITHIN, journal.check)
        if found["vm_state"] == "error":
            raise NeedsHands(f"server {self.target} is on {host} and went to error: look at it there")
        return found

    def still_ours(self, found: Row, ours: Row | None) -> None:
        """Raise ChangedSince unless it stands where it was put, in a state in which it can go back."""
        if ours is None or found["host"] != ours["dest_compute"]:
            raise ChangedSince(
                f"server {self.target} is on {found['host']}: somebody has moved it since, it stays there"
            )
        if why := self.hindrance(found):
            raise ChangedSince(f"server {self.target} was moved to {found['host']} and can't go back so: {why}")

    def sent_back(self, record: Record, home: str, journal: Journal, cloud: Cloud, polls: Polls) -> Record:
        """Send it home, once; a way back that was sent before a crash is adopted. Its record, as if of a step."""
        while True:
            listed = polls.migrations.look(self.target, afresh=True)
            if record.undo is not None:
                undo = record.undo
                sent = {"intended": undo["intended"], "uptime": undo.get("uptime"), "answered": None}
                back = replace(record, **sent, mark=undo["found"])
                if moves.since(self.away_from(home, listed), back) or self.busy(self.look(polls)["task_state"]):
                    return back
                if journal.may_still_arrive(back):
                    journal.pause(_LOOK_AGAIN)
                    continue
            record = journal.undoing(self.name, record, {"last": moves.last(listed)})
            try:
                cloud.send(self.sending(home), str(record.request_id))
            except AnswerLost:
                continue
            except CloudError:
                journal.not_undone(self.name, record)
                raise
            return replace(record, mark=(record.undo or {})["found"])

    def away_from(self, home: str, listed: Row | None) -> list[Row]:
        """Its migrations of this kind from any host but ``home``."""
        return [item for item in moves.of(listed, self.kinds) if item["source_compute"] != home]
