"""The only door to machines: one command over SSH, never repeated once it was sent."""

import contextlib
import errno
import select
import shlex
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stackmend.clients.patience import Passing, patiently
from stackmend.clients.ssh_settings import LoginRefused, NoWayOn, SshSettings, unreachable
from stackmend.errors import AnswerLost, BadInput
from stackmend.pausing import before_an_effect

if TYPE_CHECKING:
    import paramiko

__all__ = ["Command", "Dropped", "LoginRefused", "Result", "Ssh", "SshSettings"]

_CHUNK = 65536


GREETS, REFUSES, SILENT = "greets", "refuses", "silent"


class Dropped(AnswerLost):
    """The connection ended, or time ran out, in mid-command: only the machine knows what was done."""


@dataclass(frozen=True)
class Command:
    """One shell command on one machine; user and port of the settings where none is given."""

    address: str
    command: str
    user: str | None = None
    port: int | None = None
    sudo: bool = False

    def line(self) -> str:
        """What the machine's shell is given."""
        return f"sudo -n -- sh -c {shlex.quote(self.command)}" if self.sudo else self.command

    def text(self) -> str:
        """The command on one line for people."""
        port = f"-p {self.port} " if self.port else ""
        user = f"{self.user}@" if self.user else ""
        return f"ssh {port}{user}{self.address} {shlex.quote(self.line())}"

    def to_json(self) -> dict[str, Any]:
        """The command as plain JSON; ``from_json`` gives an equal command back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Command":
        """The command that ``to_json`` wrote. Raises BadInput when a field is missing or unknown."""
        try:
            return cls(**data)
        except TypeError as error:
            raise BadInput(f"A stored command is not whole ({error}): make the plan again.") from None


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    exit_status: int
    stdout: str
    stderr: str


class Ssh:
    """Runs commands on guests and hosts. Many threads may share it."""

    def __init__(self, settings: SshSettings) -> None:
        self.settings = settings
        self._gate = threading.BoundedSemaphore(settings.at_once)

    def run(self, command: Command) -> Result:
        """Run ONE command. Connecting is tried again for ``patience`` seconds; the command never is.

        Raises HostUnreachable (nothing was run; LoginRefused when waiting won't help), Dropped (it may have
        been run), or BadInput for settings that can't work.
        """
        return patiently(lambda: self._run(command), self.settings.patience, before_an_effect)

    def answers(self, address: str, port: int | None = None) -> bool:
        """True when an SSH server greets at the address. Raises HostUnreachable when the jump host does not."""
        return self.presence(address, port) == GREETS

    def presence(self, address: str, port: int | None = None) -> str:
        """Whether an SSH server ``greets`` there, or all is ``silent``; ``refuses`` is anything between the two.

        Silent: no packet comes back, or the router says that there is no such host. A refusal comes from a
        kernel that runs; that we have no network, or no such name, tells nothing of the machine. Behind a jump
        host all that is no greeting counts as a refusal. Raises HostUnreachable when the jump host does not answer.
        """
        place = port or self.settings.port
        try:
            with self._gate, self._greeting(address, place) as stream:
                return GREETS if stream.recv(4) == b"SSH-" else REFUSES
        except NoWayOn:
            return REFUSES
        except OSError as error:
            return SILENT if isinstance(error, TimeoutError) or error.errno == errno.EHOSTUNREACH else REFUSES
        except Passing as passing:
            raise passing.error from passing

    @contextlib.contextmanager
    def _greeting(self, address: str, port: int) -> Iterator[Any]:
        seconds = self.settings.connect_timeout
        with self._path_to(address, port) as channel:
            stream: Any = channel or socket.create_connection((address, port), timeout=seconds)
            with contextlib.closing(stream):
                stream.settimeout(seconds)
                yield stream

    def _path_to(self, address: str, port: int) -> contextlib.AbstractContextManager[Any]:
        if not self.settings.jump:
            return contextlib.nullcontext()
        from stackmend.clients.ssh_login import path_to

        return path_to(self.settings, address, port)

    def _run(self, command: Command) -> Result:
        import paramiko

        from stackmend.clients.ssh_login import logged_in

        user, port = command.user or self.settings.user, command.port or self.settings.port
        with self._gate, logged_in(self.settings, user, command.address, port) as client:
            transport = client.get_transport()
            try:
                if transport is None:
                    raise paramiko.SSHException("the connection was closed")
                channel = transport.open_session(timeout=self.settings.connect_timeout)
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise Passing(unreachable(command.address, port, str(error), self.settings.jump)) from error
            try:
                return _ended(channel, command, time.monotonic() + self.settings.command_timeout)
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise _dropped(command, str(error) or "the connection was closed") from error


def _ended(channel: "paramiko.Channel", command: Command, deadline: float) -> Result:
    """Start the command and collect what it says until it ends."""
    channel.settimeout(max(0.0, deadline - time.monotonic()))
    channel.exec_command(command.line())
    channel.shutdown_write()
    out, err = bytearray(), bytearray()
    while not _read(channel, out, err):
        if time.monotonic() >= deadline:
            raise _dropped(command, "it did not end in time")
        _await_data(channel, deadline)
    channel.status_event.wait(max(0.0, deadline - time.monotonic()))
    if not channel.exit_status_ready() or channel.exit_status < 0:
        raise _dropped(command, "the connection ended in mid-command")
    return Result(channel.exit_status, out.decode(errors="replace"), err.decode(errors="replace"))


def _read(channel: "paramiko.Channel", out: bytearray, err: bytearray) -> bool:
    """Take what has arrived; True when nothing more will come."""
    over = channel.eof_received or channel.closed
    while channel.recv_ready():
        out += channel.recv(_CHUNK)
    while channel.recv_stderr_ready():
        err += channel.recv_stderr(_CHUNK)
    return bool(over)


def _await_data(channel: "paramiko.Channel", deadline: float) -> None:
    # Not select(): it can't take descriptors above 1023, and many lanes have many connections.
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    poll.poll(max(0.0, deadline - time.monotonic()) * 1000)


def _dropped(command: Command, why: str) -> Dropped:
    return Dropped(
        f"{command.text()} was sent and its end is not known ({why}): it may have been done, "
        "look at the machine before repeating it."
    )
