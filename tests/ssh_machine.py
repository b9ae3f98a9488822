"""A real SSH server in the test process, for one operator's key."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import asyncssh

HOST = "127.0.0.1"


class _Server(asyncssh.SSHServer):
    """Lets in whoever has the operator's key; forwards where the machine is a jump host."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.machine.logins += 1
        self.machine.links.append(conn)
        if self.machine.refuse_next:
            self.machine.refuse_next -= 1
            conn.abort()

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == "debian" and key.public_data == self.machine.operator.public_data

    def connection_requested(self, host: str, port: int, orig_host: str, orig_port: int) -> bool:
        self.machine.forwarded.append(port)
        if not self.machine.forwards:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "no")
        return True


class Machine:
    """One SSH server on a free port, in a loop of its own."""

    def __init__(self, operator: asyncssh.SSHKey) -> None:
        self.operator = operator
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.commands: list[str] = []
        self.logins = 0
        self.links: list[asyncssh.SSHServerConnection] = []
        self.refuse_next = 0
        self.forwards = True
        self.forwarded: list[int] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.acceptor = self.run(self._listen())
        self.port = self.acceptor.get_port()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            HOST,
            0,
            server_factory=lambda: _Server(self),
            server_host_keys=[self.host_key],
            process_factory=self._process,
        )

    async def _process(self, process: "asyncssh.SSHServerProcess[str]") -> None:
        command = process.command or ""
        self.commands.append(command)
        if command == "reboot":
            process.channel.get_connection().abort()
        elif command == "hang":
            await asyncio.sleep(60)
        elif command == "big":
            process.stdout.write("o" * 5_000_000)
            process.stderr.write("e" * 5_000_000)
            process.exit(0)
        else:
            process.stdout.write(f"ran {command}\n")
            process.stderr.write("grüße\n")
            process.exit(3 if "fail" in command else 0)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def line(self) -> str:
        return f"[{HOST}]:{self.port} {self.host_key.export_public_key().decode()}"

    async def _end(self) -> None:
        self.acceptor.close()
        await self.acceptor.wait_closed()
        for link in self.links:
            link.abort()
            await link.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        self.run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
