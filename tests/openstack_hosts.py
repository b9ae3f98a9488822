"""The hosts of a real OpenStack as somebody sees them who logs in: the lab has none, so each has an SSH server here.

Its shell is the simulated cloud's; what it does to nova-compute is done to the lab's process.
"""

import asyncio
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncssh
import yaml
from ssh_machine import HOST, Machine

from stackmend.lab.openstack.control import OpenStackLab
from stackmend.lab.simulated import shell
from stackmend.lab.simulated.shell import Outcome

_UNIT = "nova-compute"


class LabHost:
    """One compute host of the lab, with one unit: nova-compute."""

    def __init__(self, lab: OpenStackLab, name: str) -> None:
        self.name = name
        self.masked = False
        self._lab = lab
        # One thing at a time, as systemd does: who asked for the first may be dead when the second comes.
        self._job = threading.Lock()

    def boot_id(self) -> str:
        """It boots once."""
        return self.name

    def uptime(self) -> float:
        """An hour is as good as any."""
        return 3600.0

    @property
    def running(self) -> bool:
        """Whether its nova-compute is there."""
        return any(row["name"] == f"{_UNIT}@{self.name}" and row["state"] == "running" for row in self._lab.status())

    def unit(self, verb: str, unit: str) -> Outcome:
        """What ``systemctl verb unit`` does there."""
        if unit != _UNIT:
            return Outcome(5, stderr=f"Unit {unit}.service could not be found.\n")
        if verb == "show":
            return Outcome(stdout=self._shown())
        with self._job:
            return self._does(verb, unit)

    def _does(self, verb: str, unit: str) -> Outcome:
        if verb in ("mask", "unmask"):
            self.masked = verb == "mask"
            return Outcome()
        if verb in ("start", "restart") and self.masked:
            return Outcome(1, stderr=f"Failed to {verb} {unit}.service: Unit {unit}.service is masked.\n")
        if verb in ("stop", "restart"):
            self._lab.host(self.name, "kill")
        if verb in ("start", "restart"):
            self._lab.host(self.name, "start")
        return Outcome()

    def log(self, unit: str) -> str:
        """The lab's log of it."""
        return self._lab.logs(f"{unit}@{self.name}").read_text(encoding="utf-8", errors="replace")

    def _shown(self) -> str:
        active = "active" if self.running else "inactive"
        load, file = ("masked", "masked") if self.masked else ("loaded", "enabled")
        return f"LoadState={load}\nActiveState={active}\nUnitFileState={file}\n"


class Door(Machine):
    """The SSH server of one host; who logs in is ``debian``, and may use sudo."""

    def __init__(self, operator: asyncssh.SSHKey, host: LabHost) -> None:
        self.host = host
        super().__init__(operator)

    async def _process(self, process: "asyncssh.SSHServerProcess[str]") -> None:
        command = process.command or ""
        self.commands.append(command)
        # Whatever brings nova-compute back returns when it works: that takes seconds.
        outcome = await asyncio.to_thread(shell.run, self.host, "debian", command)
        process.stdout.write(outcome.stdout)
        process.stderr.write(outcome.stderr)
        process.exit(outcome.status)


class Doors:
    """The SSH servers of some hosts, and the settings that lead there; ``directory`` holds their files."""

    def __init__(self, lab: OpenStackLab, directory: Path, hosts: list[str]) -> None:
        self._lab = lab
        self._directory = directory
        self._names = hosts
        self._doors: dict[str, Door] = {}

    def __enter__(self) -> Self:
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(self._directory / "id_ed25519")
        self._doors = {name: Door(key, LabHost(self._lab, name)) for name in self._names}
        known = "".join(f"{door.line().strip()}\n" for door in self._doors.values())
        (self._directory / "known_hosts").write_text(known, encoding="utf-8")
        hosts = {name: {"address": HOST, "port": door.port} for name, door in self._doors.items()}
        (self._directory / "inventory.yaml").write_text(yaml.safe_dump({"hosts": hosts}), encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for door in self._doors.values():
            door.close()

    def host(self, name: str) -> LabHost:
        """The host itself."""
        return self._doors[name].host

    def commands(self, name: str) -> list[str]:
        """Everything that was typed on a host."""
        return self._doors[name].commands

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that lead to these hosts."""
        files = {"key_files": [str(self._directory / "id_ed25519")]}
        ssh = {"user": "debian", "agent": False, "known_hosts": str(self._directory / "known_hosts"), **files}
        return {"inventory": str(self._directory / "inventory.yaml"), "ssh": ssh}
