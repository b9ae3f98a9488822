"""The few commands that the shells of simulated guests and hosts understand."""

import dataclasses
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

_REFUSED = "Call to Reboot failed: Interactive authentication required.\n"
_REBOOTS = (
    ("reboot",),
    ("systemctl", "reboot"),
    ("shutdown", "-r", "now"),
    ("shutdown", "-r", "+0"),
    ("init", "6"),
)
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True)
class Outcome:
    """What a command came to; ``goes_away`` when the machine reboots and no answer ever comes."""

    status: int = 0
    stdout: str = ""
    stderr: str = ""
    goes_away: bool = False


class Machine(Protocol):
    """The machine behind a shell."""

    name: str

    def boot_id(self) -> str:
        """The kernel's id of this boot."""

    def uptime(self) -> float:
        """Seconds since it booted."""

    def unit(self, verb: str, unit: str) -> Outcome:
        """What ``systemctl verb unit`` does there."""

    def log(self, unit: str) -> str:
        """What the journal holds of a unit."""


def run(machine: Machine, user: str, command: str) -> Outcome:
    """Run a command line as ``user`` on a machine; 127 for a command that nobody taught it."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        return Outcome(2, stderr=f"sh: 1: Syntax error: {error}\n")
    words, user = _without_sudo(words, user)
    if len(words) > 2 and words[0] in ("sh", "bash") and words[1] in ("-c", "-lc"):
        return run(machine, user, words[2])
    said = ""
    for part in _parts(words):
        outcome = _run(machine, user, part)
        said += outcome.stdout
        if outcome.status != 0:
            break
    return dataclasses.replace(outcome, stdout=said)


def _parts(words: list[str]) -> Iterator[list[str]]:
    """What stands between one ``&&`` and the next."""
    while "&&" in words:
        place = words.index("&&")
        yield words[:place]
        words = words[place + 1 :]
    yield words


def _run(machine: Machine, user: str, words: list[str]) -> Outcome:
    if not words:
        return Outcome()
    if tuple(word.rsplit("/", 1)[-1] for word in words) in _REBOOTS:
        return Outcome(goes_away=True) if user == "root" else Outcome(1, stderr=_REFUSED)
    if words[0] == "systemctl":
        return _systemctl(machine, user, words[1:])
    if words[0] in ("docker", "podman"):
        return _container(machine, [word for word in words[1:] if word != "2>&1"])
    if words[0] == "journalctl":
        units = [word.partition("=")[2] for word in words if word.startswith("--unit=")]
        return Outcome(stdout="".join(machine.log(unit) for unit in units))
    answer = _ANSWERS.get(tuple(words))
    return answer(machine, user) if answer else Outcome(127, stderr=f"sh: 1: {words[0]}: not found\n")


def _without_sudo(words: list[str], user: str) -> tuple[list[str], str]:
    if not words or words[0] != "sudo":
        return words, user
    rest = words[1:]
    while rest and rest[0].startswith("-"):
        option, rest = rest[0], rest[1:]
        if option == "--":
            break
        if option in ("-u", "--user"):
            user_named, rest = rest[0], rest[1:]
            return rest[1:] if rest[:1] == ["--"] else rest, user_named
    return rest, "root"


def _systemctl(machine: Machine, user: str, words: list[str]) -> Outcome:
    words = [word for word in words if not word.startswith("-")]
    if len(words) != 2:
        return Outcome(1, stderr="Too few arguments.\n")
    verb, unit = words[0], words[1].removesuffix(".service")
    if user != "root" and not verb.startswith("is-"):
        return Outcome(1, stderr=f"Failed to {verb} {unit}.service: Interactive authentication required.\n")
    return machine.unit(verb, unit)


def _container(machine: Machine, words: list[str]) -> Outcome:
    """A process in a container ``nova_compute`` is the unit ``nova-compute``; held back is restart policy "no"."""
    verb, unit = words[0], words[-1].replace("_", "-")
    if machine.unit("is-active", unit).status == 4:
        return Outcome(1, stderr=f"Error: No such object: {words[-1]}\n")
    if verb == "inspect":
        running = str(machine.unit("is-active", unit).status == 0).lower()
        policy = "no" if machine.unit("is-enabled", unit).status else "unless-stopped"
        return Outcome(stdout=f"{running} {policy}\n")
    if verb == "update":
        return machine.unit("mask" if "--restart=no" in words else "unmask", unit)
    if verb == "logs":
        return Outcome(stdout=machine.log(unit))
    held = machine.unit("is-enabled", unit).status != 0
    if held and verb in ("start", "restart"):
        # A policy holds nobody back who starts the container by hand.
        outcomes = [machine.unit(each, unit) for each in ("unmask", verb, "mask")]
        return outcomes[1]
    return machine.unit(verb, unit)


_ANSWERS: dict[tuple[str, ...], Callable[[Machine, str], Outcome]] = {
    ("true",): lambda machine, user: Outcome(),
    ("false",): lambda machine, user: Outcome(1),
    ("hostname",): lambda machine, user: Outcome(stdout=f"{machine.name}\n"),
    ("whoami",): lambda machine, user: Outcome(stdout=f"{user}\n"),
    ("uptime",): lambda machine, user: Outcome(stdout=f" up {int(machine.uptime() // 60)} min,  1 user\n"),
    ("cat", _BOOT_ID): lambda machine, user: Outcome(stdout=f"{machine.boot_id()}\n"),
    ("cat", "/proc/uptime"): lambda machine, user: Outcome(stdout=f"{machine.uptime():.2f} 0.00\n"),
}
