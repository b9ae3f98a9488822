"""The only door to power switches: fence agents, by name, in the protocol that they all speak.

An agent reads ``name=value`` lines from its standard input, so no password stands in a process list, and
answers by exit status: of ``status`` 0 for on, 2 for off (FenceAgentAPI of ClusterLabs).
"""

import subprocess
from dataclasses import dataclass

from stackmend.clients.inventory import Host, Inventory, secret_of
from stackmend.errors import AnswerLost, BadInput, HostUnreachable

ON, OFF = "on", "off"
_STATUS = {0: ON, 2: OFF}
_OURS = ("password_file", "password_env")


@dataclass(frozen=True)
class FenceCommand:
    """One order to one host's fence agent, as the plan prints it."""

    host: str
    agent: str
    action: str

    def text(self) -> str:
        """The order on one line for people."""
        return f"{self.agent} action={self.action} (host {self.host}, options of the inventory)"

    def to_json(self) -> dict[str, str]:
        """The order as plain JSON."""
        return {"host": self.host, "agent": self.agent, "action": self.action}


class Fences:
    """The power switches of an inventory's hosts. ``seconds``: how long an agent may take."""

    def __init__(self, inventory: Inventory, seconds: float = 120.0) -> None:
        self.inventory = inventory
        self._seconds = seconds

    def agent(self, host: str) -> str:
        """The name of the host's fence agent; empty where the inventory names none."""
        return self.inventory.host(host).fence.agent

    def power(self, host: str) -> str:
        """Whether the host's power is ``on`` or ``off``. Raises HostUnreachable, BadInput."""
        try:
            ended = self._run(host, "status")
        except AnswerLost as lost:
            raise HostUnreachable(str(lost).replace(": it may have worked yet", "")) from None
        state = _STATUS.get(ended.returncode)
        if state is None or f"status: {state}" not in ended.stdout.lower():
            raise HostUnreachable(
                f"{self.agent(host)} can't tell whether {host} has power ({_said(ended)}): check the address, user and "
                "password of its controller in the inventory"
            )
        return state

    def switch(self, host: str, action: str) -> str:
        """Switch the host's power ``on`` or ``off``; returns what the agent said.

        Raises AnswerLost when the agent failed or took too long: a controller may do it all the same, a
        little later; only its power state tells.
        """
        ended = self._run(host, action)
        if ended.returncode != 0:
            raise AnswerLost(f"{self.agent(host)} {action} of {host} failed ({_said(ended)}): it may have worked yet")
        return _said(ended)

    def _run(self, host: str, action: str) -> "subprocess.CompletedProcess[str]":
        known = self.inventory.host(host)
        if not known.fence.agent:
            raise BadInput(f"the inventory names no fence agent for host {host}: add one, or state how it was fenced")
        try:
            return subprocess.run(
                [known.fence.agent],
                input=_order(known, action),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AnswerLost(
                f"{known.fence.agent} {action} of {host} took more than {self._seconds:.0f} s: it may have worked yet"
            ) from None
        except OSError as error:
            raise BadInput(
                f"the fence agent {known.fence.agent} of host {host} can't be run ({error.strerror}): install "
                "Debian's fence-agents, or give its path in the inventory"
            ) from None


def _order(host: Host, action: str) -> str:
    options = {name: value for name, value in host.fence.options.items() if name not in _OURS}
    secret = secret_of(host.fence.options)
    given = {"action": action, **options, **({"password": secret} if secret is not None else {})}
    lines = [f"{name}={_value(value)}" for name, value in given.items()]
    # Behind the end of a line an agent would read another order.
    if any("\n" in line for line in lines):
        raise BadInput(f"an option or the password of host {host.name}'s fence agent has more than one line: mend it")
    return "".join(f"{line}\n" for line in lines)


def _value(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _said(ended: "subprocess.CompletedProcess[str]") -> str:
    """The agent's own last words, in one line; the agents keep passwords out of them."""
    # Of one that succeeded only its answer: some of Debian's agents make Python warn of themselves besides.
    words = ended.stdout if ended.returncode == 0 else f"{ended.stdout}\n{ended.stderr}"
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    told = [line for line in lines if "use '-h'" not in line]
    return (told[-1] if told else f"exit status {ended.returncode}")[:200]
