"""Where a nova-compute runs on its host, the commands for it there, and what they show.

It is a systemd unit or a container, as the inventory says.
"""

import shlex
from dataclasses import asdict, dataclass
from typing import Any

from stackmend.clients.inventory import Host
from stackmend.clients.ssh import Command, Result
from stackmend.errors import NeedsHands

_NEVER = "no"
_STARTS, _STOPS = "activating", "deactivating"
_RUNS = frozenset(["active", "reloading", _STARTS, _STOPS])


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
            state, policy = "{{.State.Running}}", "{{.HostConfig.RestartPolicy.Name}}"
            shown = shlex.quote(f"{state} {policy} {{{{.State.Restarting}}}} {{{{.State.StartedAt}}}}")
            return self._command(f"{self._tool} inspect --format {shown} {self._container}")
        return self._command(f"systemctl show --property=LoadState,ActiveState,Job,InvocationID {self._unit}")

    def to(self, running: bool, held: bool) -> Command:
        """Brings it to a state: ``running`` (anew where it runs), ``held`` back from starting by itself."""
        if self.container:
            policy = shlex.quote(_NEVER if held else self.restart)
            tool, name, verb = self._tool, self._container, "restart" if running else "stop"
            return self._command(f"{tool} update --restart={policy} {name} && {tool} {verb} {name}")
        if running:
            verbs = ["unmask", "restart", *(["mask"] if held else [])]
        else:
            # What can't be masked is not stopped. It stops by its own settings (TimeoutStopSec, ExecStop), which
            # systemd forgets of a masked unit when it reloads: the second mask does that, when it has stopped.
            verbs = ["mask --no-reload", "stop", "mask"] if held else ["unmask", "stop"]
        return self._command(" && ".join(f"systemctl {verb} {self._unit}" for verb in verbs))

    def hold(self, held: bool) -> Command:
        """Keeps it from starting, or no longer; it runs on, or does not."""
        if self.container:
            policy = shlex.quote(_NEVER if held else self.restart)
            return self._command(f"{self._tool} update --restart={policy} {self._container}")
        return self._command(f"systemctl {'mask' if held else 'unmask'} {self._unit}")

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
            running, policy, *_ = [*_words(result), "", ""]
            found = {"running": running == "true", "held": policy in (_NEVER, "")}
            missing, told = result.exit_status != 0, running in ("true", "false")
        else:
            if result.exit_status != 0:
                raise NeedsHands(refused(self.look(), result))
            shown = _shown(result)
            # Masked on disk only, before systemd has read it, keeps nobody from starting it.
            found = {"running": shown.get("ActiveState") in _RUNS, "held": shown.get("LoadState") == "masked"}
            missing, told = shown.get("LoadState") == "not-found", {"ActiveState", "LoadState"} <= shown.keys()
        if missing:
            raise NeedsHands(
                f"there is no {self} at {self.address} ({said(result)}): say in the inventory how nova-compute runs "
                "there"
            )
        # What is not said must not pass for a nova-compute that is stopped.
        if not told:
            raise NeedsHands(f"`{self.look().text()}` did not tell its state ({said(result)}): look there, then retry")
        return found

    def changing(self, result: Result, steady: bool) -> str:
        """What is under way with it, as ``look`` showed it; empty when nothing. ``steady``: starting counts too."""
        if self.container:
            return "restarting" if steady and _words(result)[2:3] == ["true"] else ""
        shown = _shown(result)
        if shown.get("Job", "") not in ("", "0"):
            return "waiting for a job of systemd"
        state = shown.get("ActiveState", "")
        return state if state == _STOPS or (steady and state == _STARTS) else ""

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


def refused(command: Command, result: Result) -> str:
    """The sentence for a command that failed."""
    return (
        f"`{command.text()}` ended with {result.exit_status}: {said(result)}; give the user that right, or mend "
        "it there, then retry"
    )


def _words(result: Result) -> list[str]:
    # A policy may be empty.
    return result.stdout.rstrip("\n").split(" ")


def _shown(result: Result) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in result.stdout.splitlines())


def said(result: Result) -> str:
    """What a command wrote, on one line."""
    return " ".join((result.stderr or result.stdout).split())[:300] or "it said nothing"
