"""SSH servers of guests and hosts: each on its own loopback address with its own host key, all on one port."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from stackmend.lab.simulated import shell
from stackmend.lab.simulated.listeners import bound
from stackmend.lab.simulated.machines import Guest, Host

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_USERS = ("debian", "root")


class Door:
    """The SSH server of one machine."""

    def __init__(self, house: "SshServers", machine: Guest | Host, address: str) -> None:
        self.machine = machine
        self.address = address
        self.known_key = asyncssh.generate_private_key("ssh-ed25519")
        self.key = self.known_key
        self.drops = 0
        self._house = house
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._links: set[asyncssh.SSHServerConnection] = set()

    async def open(self) -> None:
        """Accept connections; nothing when it does already."""
        if self._acceptor is None:
            self._acceptor = await asyncssh.listen(
                self.address,
                self._house.port,
                server_factory=lambda: _Login(self),
                process_factory=self._process,
                server_host_keys=[self.key],
                encoding="utf-8",
            )

    async def close(self) -> None:
        """Refuse connections and drop those that are open."""
        acceptor, self._acceptor = self._acceptor, None
        self.cut()
        if acceptor is not None:
            acceptor.close()
            await acceptor.wait_closed()

    def enter(self, link: asyncssh.SSHServerConnection) -> None:
        """Take a new connection; it is dropped at once when the machine doesn't answer."""
        self._links.add(link)
        if not self.machine.answers():
            link.abort()

    def leave(self, link: asyncssh.SSHServerConnection) -> None:
        """Forget an ended connection."""
        self._links.discard(link)

    def cut(self) -> None:
        """Drop every connection, as when the machine goes away."""
        for link in list(self._links):
            link.abort()

    def accepts(self, user: str, key: asyncssh.SSHKey) -> bool:
        """True for the operator's key as one of the machine's users."""
        return user in _USERS and key == self._house.operator_key

    async def present(self, key: asyncssh.SSHKey) -> None:
        """Show this host key from now on."""
        if key != self.key:
            await self.close()
            self.key = key
        await self.open()

    def known_hosts_line(self) -> str:
        """The machine's line in known_hosts; it always holds the key of the beginning."""
        return f"[{self.address}]:{self._house.port} {self.known_key.export_public_key().decode().strip()}"

    async def _process(self, process: asyncssh.SSHServerProcess[str]) -> None:
        command, user = process.command or "", str(process.get_extra_info("username"))
        self._house.cloud.journal.effect("ssh.command", self.machine.id, command=command, user=user)
        outcome = shell.run(self.machine, user, command)
        if outcome.goes_away:
            self._house.cloud.background(self.machine.reboot())
            await asyncio.sleep(0)
        if outcome.goes_away or self.drops:
            self.drops = max(0, self.drops - 1)
            self.cut()
            return
        process.stdout.write(outcome.stdout)
        process.stderr.write(outcome.stderr)
        process.exit(outcome.status)


class _Login(asyncssh.SSHServer):
    def __init__(self, door: Door) -> None:
        self._door = door
        self._link: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._link = conn
        self._door.enter(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._link is not None:
            self._door.leave(self._link)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._door.accepts(username, key)


class SshServers:
    """The SSH servers of all hosts and of the guests that have one; ``files`` is DIR/ssh."""

    def __init__(self, cloud: "Cloud", files: Path) -> None:
        self.cloud = cloud
        # The port is held at an address that no machine has, so that no other cloud's machines get it.
        self._claim = bound(0)
        self.port = int(self._claim.getsockname()[1])
        self._files = files
        self._files.mkdir(exist_ok=True)
        self._doors: dict[str, Door] = {}
        operator = asyncssh.generate_private_key("ssh-ed25519", comment="operator")
        operator.write_private_key(files / "id_ed25519")
        (files / "id_ed25519").chmod(0o600)
        operator.write_public_key(files / "id_ed25519.pub")
        self.operator_key = operator.convert_to_public()

    async def sync(self) -> None:
        """After a seed or a restore: a server for each machine that should have one, as at the beginning."""
        wanted = {machine.id: (machine, address) for machine, address in self._machines()}
        for gone in set(self._doors) - set(wanted):
            await self._doors.pop(gone).close()
        for target, (machine, address) in wanted.items():
            if target not in self._doors:
                self._doors[target] = Door(self, machine, address)
            door = self._doors[target]
            door.drops = 0
            await door.present(door.known_key)
        lines = [door.known_hosts_line() for door in self._doors.values()]
        (self._files / "known_hosts").write_text("".join(f"{line}\n" for line in lines))

    def _machines(self) -> list[tuple[Guest | Host, str]]:
        lab = self.cloud.lab
        hosts = [(Host(self.cloud, row["name"]), row["address"]) for row in lab.all("SELECT * FROM hosts")]
        guests = lab.all("SELECT DISTINCT uuid, address FROM guests WHERE ssh AND address IS NOT NULL")
        return [
            *hosts,
            *((Guest(self.cloud, row["uuid"], self._name(row["uuid"])), row["address"]) for row in guests),
        ]

    def _name(self, server: str) -> str:
        row = self.cloud.nova.one("SELECT hostname FROM instances WHERE uuid = ?", server)
        return str(row["hostname"]) if row else server

    async def switch(
        self, target: str, *, refuse: bool | None = None, drop: int = 0, new_host_key: bool = False
    ) -> dict[str, Any]:
        """Make one machine refuse connections (or not), drop its next commands, or show a new host key.

        ``target`` is a server's id, a host's name, a hostname or an address. KeyError when none is that.
        """
        door = self._door(target)
        door.drops += drop
        if new_host_key:
            await door.present(asyncssh.generate_private_key("ssh-ed25519"))
        if refuse is not None:
            await (door.close() if refuse else door.open())
        return {"address": door.address, "port": self.port, "name": door.machine.name}

    def _door(self, target: str) -> Door:
        for door in self._doors.values():
            if target in (door.machine.id, door.machine.name, door.address):
                return door
        raise KeyError(f"no machine {target} answers SSH; seed it with ssh=true")

    async def close(self) -> None:
        """Close every server."""
        self._claim.close()
        for door in self._doors.values():
            await door.close()
