"""How machines are reached by SSH, and what is said when they are not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stackmend.clients.patience import Passing
from stackmend.errors import BadInput, HostUnreachable


class LoginRefused(HostUnreachable):
    """A host key that is unknown or not the known one, or a login that was refused: waiting won't mend it."""

    lasting = True


class NoWayOn(Passing):
    """The jump host answers, and can't reach what lies behind it."""


@dataclass(frozen=True)
class SshSettings:
    """How machines are reached; seconds for the time-outs.

    ``key_files``: private keys without passphrase (with one: put it into the agent); none given means the
    usual ones in ~/.ssh. ``jump``: "user@host:port". ``users``: the login user per image name or id.
    ``patience``: for how long a connection is tried again. ``at_once``: connections open at one time.
    """

    user: str = "root"
    port: int = 22
    key_files: tuple[str, ...] = ()
    agent: bool = True
    known_hosts: tuple[str, ...] = ("~/.ssh/known_hosts",)
    jump: str = ""
    users: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float = 10.0
    command_timeout: float = 60.0
    patience: float = 10.0
    at_once: int = 64

    def __post_init__(self) -> None:
        for name in ("key_files", "known_hosts"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if not 0 < self.port < 65536:
            raise BadInput(f"The SSH port {self.port} is none: it must be a number from 1 to 65535.")

    def user_for(self, image: str | None) -> str:
        """The login user of guests of this image."""
        return self.users.get(image or "", self.user)

    def jump_place(self) -> tuple[str, str, int]:
        """User, host and port of the jump host. Raises BadInput when the port is no number."""
        user, _, place = self.jump.rpartition("@")
        host, _, port = place.partition(":")
        if port and not (port.isdecimal() and 0 < int(port[:6]) < 65536):
            raise BadInput(f"The jump host {self.jump} is not user@host:port.")
        return user or self.user, host, int(port or 22)


def unreachable(address: str, port: int, why: str, jump: str) -> HostUnreachable:
    """The sentence for a connection that could not be made."""
    through = f" through {jump}" if jump else ""
    reason = " ".join(why.split()).rstrip(".") or "the connection was closed"
    return HostUnreachable(f"{address}:{port} can't be reached by SSH{through} ({reason}).")
