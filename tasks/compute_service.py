"""nova-compute on its own host, by SSH: started, stopped and kept from starting, and its log.

A stopped one is masked (a container loses its restart policy), so that neither a boot nor configuration management
starts it again.
"""

import time
from collections.abc import Mapping
from typing import Any

from stackmend.clients.ssh import Command, Ssh
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Step
from stackmend.errors import AnswerLost, ChangedSince, HostUnreachable, NeedsHands
from stackmend.tasks.compute_place import Place, facts_of, refused, said

__all__ = ["Place", "StartCompute", "StopCompute", "facts_of", "log_tail", "sent", "state_of_compute"]

_LOOK_EVERY = 0.5


class _Service(Step):
    """nova-compute of one host, brought to one state. ``seconds``: for its host to answer, and for the state."""

    runs = False

    def __init__(self, host: str, place: Mapping[str, Any], seconds: float, why: str = "") -> None:
        super().__init__(host, why)
        self.place = Place(**place)
        self.seconds = seconds

    def command(self) -> Command:
        """The one command."""
        return self.place.to(running=self.runs, held=not self.runs)

    def effects(self) -> list[Command]:
        """The one command."""
        return [self.command()]

    def observe(self, record: Record, journal: Journal, ssh: Ssh) -> Seen:
        """Done when the host's own service manager says so; a host that boots is waited for."""
        found = state_of_compute(self.place, self.seconds, journal, ssh, steady=self.runs and record.acted)
        if self._there(found):
            return Done({**found, "already": not record.acted})
        return InFlight() if sent(record) else NotStarted(found)

    def act(self, ssh: Ssh) -> str:
        """Run it. Raises NeedsHands with the end of the log when that fails."""
        return _run(self.place, self.command(), ssh)

    def confirm(self, record: Record, journal: Journal, ssh: Ssh) -> Evidence:
        """The service manager shows it. Raises NeedsHands when it shows another end, with the end of the log."""
        found = state_of_compute(self.place, self.seconds, journal, ssh, steady=self.runs)
        if not self._there(found):
            verb = "start" if self.runs else "stop"
            raise NeedsHands(
                f"nova-compute on {self.target} ({self.place}) did not {verb}, or was changed by somebody else since "
                f"({_told(found)}): mend it there, then retry; its log ends: {log_tail(self.place, ssh)}"
            )
        return found

    def undo(self, record: Record, journal: Journal, ssh: Ssh) -> Evidence:
        """Bring it back to what it was, unless somebody else has changed it since."""
        found = self._at_rest(record, journal, ssh)
        if found == record.before:
            if record.answered is None:
                # A mask that systemd has not read yet does not show.
                _run(self.place, self.place.hold(found["held"]), ssh)
            return {**found, "already": True}
        # Half of a command whose end is not known is ours too.
        if not self._there(found) and record.answered is not None:
            raise ChangedSince(f"nova-compute on {self.target} was changed by somebody else since: {_told(found)}")
        journal.undoing(self.name, record, found)
        _run(self.place, self.place.to(**record.before), ssh)
        left = state_of_compute(self.place, self.seconds, journal, ssh)
        if left != record.before:
            raise NeedsHands(
                f"nova-compute on {self.target} did not go back: {_told(left)}; look at it there, then retry"
            )
        return {"restored": record.before}

    def _at_rest(self, record: Record, journal: Journal, ssh: Ssh) -> dict[str, Any]:
        """What it is; where the command's end is not known, after the rest of it has had time to be done there."""
        while journal.may_still_arrive(record):
            journal.pause(_LOOK_EVERY)
        found = state_of_compute(self.place, self.seconds, journal, ssh)
        if record.answered is None:
            journal.pause(_LOOK_EVERY)
            found = state_of_compute(self.place, self.seconds, journal, ssh)
        return found

    def _there(self, found: Mapping[str, Any]) -> bool:
        return bool(found["running"] == self.runs and found["held"] != self.runs)


class StartCompute(_Service):
    """Let nova-compute start again, and start it, by SSH. Undo: stop it and keep it from starting."""

    slug = "compute.start"
    title = "unmask and start nova-compute by SSH"
    runs = True

    def _there(self, found: Mapping[str, Any]) -> bool:
        # A container that never had a restart policy is no less started.
        return bool(found["running"] and (self.place.container or not found["held"]))


class StopCompute(_Service):
    """Keep nova-compute from starting, and stop it, by SSH. Undo: let it start, and start it."""

    slug = "compute.stop"
    title = "mask and stop nova-compute by SSH"


def sent(record: Record) -> bool:
    """Whether the command was run; not when an operator has mended the host since and asks for a retry."""
    return record.answered is not None and record.attempt > record.granted


def state_of_compute(place: Place, seconds: float, journal: Journal, ssh: Ssh, steady: bool = False) -> dict[str, Any]:
    """Whether it runs, and whether it is kept from starting; a host that does not answer is waited for.

    So is one that is still stopping. ``steady``: one that is starting too, until two looks show the same: what fails
    as soon as it has started, and is started again, shows as running in between. Raises HostUnreachable after
    ``seconds``, NeedsHands when there is no such service, or it is neither here nor there by then.
    """
    deadline, seen = time.monotonic() + seconds, None
    while True:
        journal.check()
        try:
            result = ssh.run(place.look())
        except (HostUnreachable, AnswerLost) as error:
            # A wrong host key or refused login will not mend itself by waiting.
            if getattr(error, "lasting", False) or time.monotonic() >= deadline:
                raise
        else:
            found, state = place.state_in(result), place.changing(result, steady)
            if not state and (not steady or result == seen):
                return found
            seen = result
            if time.monotonic() >= deadline:
                raise NeedsHands(
                    f"{place} at {place.address} is {state or 'started again and again'} after {seconds:.0f} s: mend "
                    f"it there, then retry; its log ends: {log_tail(place, ssh)}"
                )
        journal.pause(_LOOK_EVERY)


def log_tail(place: Place, ssh: Ssh, lines: int = 20) -> str:
    """The last lines of nova-compute's log on one line, or why they can't be had; never raises for that."""
    try:
        result = ssh.run(place.tail(lines))
    except (HostUnreachable, AnswerLost) as error:
        return f"(not to be had: {error})"
    told = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    return " | ".join(told)[-2000:] if told and result.exit_status == 0 else f"(nothing: {said(result)})"


def _run(place: Place, command: Command, ssh: Ssh) -> str:
    result = ssh.run(command)
    if result.exit_status != 0:
        raise NeedsHands(f"{refused(command, result)}; its log ends: {log_tail(place, ssh)}")
    return "accepted"


def _told(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {str(value).lower()}" for name, value in found.items())
