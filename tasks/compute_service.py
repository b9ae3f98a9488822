"""nova-compute on its own host, by SSH: started, stopped and kept from starting, and its log.

It is a systemd unit or a container, as the inventory says. A stopped one is masked (a container loses its
restart policy), so that neither a boot nor configuration management starts it again.
"""

import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stackmend.clients.inventory import Host
from stackmend.clients.ssh import Command, Result, Ssh
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Step
from stackmend.errors import AnswerLost, ChangedSince, HostUnreachable, NeedsHands

_LOOK_EVERY = 0.5
_NEVER = "no"


def facts_of(host: Host) -> dict[str, Any]:
    """What a step needs to reach a host's nova-compute, as plain JSON: no fence agent, no secret."""
    return {"address": host.address, "user": host.user, "port": host.port, **asdict(host.compute)}


@dataclass(frozen=True)
class Place:
    """Where a nova-compute runs, and the commands for it; built from ``facts_of``."""

    address: str
    user: str
    port: int
    unit: str
    container: str
    runtime: str
    restart: str
    log: str

    def look(self) -> Command:
        """Shows its state; changes nothing."""
        if self.container:
            shown = shlex.quote("{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}")
            return self._command(f"{self._tool} inspect --format {shown} {self._container}")
        return self._command(f"systemctl show --property=LoadState,ActiveState,UnitFileState {self._unit}")

    def to(self, running: bool, held: bool) -> Command:
        """Brings it to a state: ``running`` (anew where it runs), ``held`` back from starting by itself."""
        if self.container:
            policy = shlex.quote(_NEVER if held else self.restart)
            tool, name, verb = self._tool, self._container, "restart" if running else "stop"
            return self._command(f"{tool} update --restart={policy} {name} && {tool} {verb} {name}")
        # A masked unit does not start; one that is to stay away is masked before it stops.
        masked = [] if running else ["mask" if held else "unmask"]
        verbs = ["unmask", "restart", *(["mask"] if held else [])] if running else [*masked, "stop"]
        return self._command(" && ".join(f"systemctl {verb} {self._unit}" for verb in verbs))

    def tail(self, lines: int) -> Command:
        """Shows the last lines of its log."""
        if self.log:
            return self._command(f"tail -n {lines} {shlex.quote(self.log)}")
        if self.container:
            return self._command(f"{self._tool} logs --tail {lines} {self._container} 2>&1")
        return self._command(f"journalctl --no-pager --output=cat --lines={lines} --unit={self._unit}")

    def state_in(self, result: Result) -> dict[str, Any]:
        """What ``look`` showed: ``running``, ``held`` (kept from starting). Raises NeedsHands when there is none."""
        if self.container:
            running, _, policy = result.stdout.strip().partition(" ")
            found = {"running": running == "true", "held": policy in (_NEVER, "")}
            missing = result.exit_status != 0
        else:
            shown = dict(line.partition("=")[::2] for line in result.stdout.splitlines())
            found = {
                "running": shown.get("ActiveState") in ("active", "activating", "reloading"),
                "held": "masked" in (shown.get("LoadState"), shown.get("UnitFileState")),
            }
            missing = result.exit_status != 0 or shown.get("LoadState") == "not-found"
        if missing:
            raise NeedsHands(
                f"there is no {self} at {self.address} ({_said(result)}): say in the inventory how nova-compute runs "
                "there"
            )
        return found

    def __str__(self) -> str:
        return f"{self.runtime} container {self.container}" if self.container else f"unit {self.unit}"

    @property
    def _unit(self) -> str:
        return shlex.quote(self.unit)

    @property
    def _container(self) -> str:
        return shlex.quote(self.container)

    @property
    def _tool(self) -> str:
        return shlex.quote(self.runtime)

    def _command(self, line: str) -> Command:
        # Whoever logs in as root may well be on a host without sudo.
        return Command(self.address, line, self.user or None, self.port or None, sudo=self.user != "root")


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
        found = state_of_compute(self.place, self.seconds, journal, ssh)
        if self._there(found):
            return Done({**found, "already": not record.acted})
        return InFlight() if record.answered is not None else NotStarted(found)

    def act(self, ssh: Ssh) -> str:
        """Run it."""
        return _run(self.command(), ssh)

    def confirm(self, record: Record, journal: Journal, ssh: Ssh) -> Evidence:
        """The service manager shows it. Raises NeedsHands at the deadline, with the end of the log."""
        deadline = time.monotonic() + self.seconds
        while not self._there(found := state_of_compute(self.place, self.seconds, journal, ssh)):
            if time.monotonic() >= deadline:
                verb = "start" if self.runs else "stop"
                raise NeedsHands(
                    f"nova-compute on {self.target} ({self.place}) did not {verb} within {self.seconds:.0f} s; its log "
                    f"ends: {log_tail(self.place, ssh)}"
                )
            journal.pause(_LOOK_EVERY)
        return found

    def undo(self, record: Record, journal: Journal, ssh: Ssh) -> Evidence:
        """Bring it back to what it was, unless somebody else has changed it since."""
        found = state_of_compute(self.place, self.seconds, journal, ssh)
        if found == record.before:
            return {**found, "already": True}
        if not self._there(found):
            raise ChangedSince(f"nova-compute on {self.target} was changed by somebody else since: {_told(found)}")
        journal.undoing(self.name, record, found)
        _run(self.place.to(**record.before), ssh)
        left = state_of_compute(self.place, self.seconds, journal, ssh)
        if left != record.before:
            raise NeedsHands(
                f"nova-compute on {self.target} did not go back: {_told(left)}; look at it there, then retry"
            )
        return {"restored": record.before}

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


def state_of_compute(place: Place, seconds: float, journal: Journal, ssh: Ssh) -> dict[str, Any]:
    """Whether it runs, and whether it is kept from starting; a host that does not answer is waited for.

    Raises HostUnreachable after ``seconds``, NeedsHands when there is no such service.
    """
    deadline = time.monotonic() + seconds
    while True:
        journal.check()
        try:
            return place.state_in(ssh.run(place.look()))
        except (HostUnreachable, AnswerLost) as error:
            # A wrong host key or refused login will not mend itself by waiting.
            if getattr(error, "lasting", False) or time.monotonic() >= deadline:
                raise
        journal.pause(_LOOK_EVERY)


def log_tail(place: Place, ssh: Ssh, lines: int = 20) -> str:
    """The last lines of nova-compute's log on one line, or why they can't be had; never raises for that."""
    try:
        result = ssh.run(place.tail(lines))
    except (HostUnreachable, AnswerLost) as error:
        return f"(not to be had: {error})"
    told = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    return " | ".join(told)[-2000:] if told and result.exit_status == 0 else f"(nothing: {_said(result)})"


def _run(command: Command, ssh: Ssh) -> str:
    result = ssh.run(command)
    if result.exit_status != 0:
        raise NeedsHands(
            f"`{command.text()}` ended with {result.exit_status}: {_said(result)}; give the user that right, or mend "
            "it there, then retry"
        )
    return "accepted"


def _said(result: Result) -> str:
    return " ".join((result.stderr or result.stdout).split())[:300] or "it said nothing"


def _told(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {str(value).lower()}" for name, value in found.items())
