"""A process of the lab as data: how it is started and how one sees that it works."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rpc:
    """An RPC server on the message bus, which can be asked for a sign of life."""

    exchange: str
    topic: str
    server: str


@dataclass(frozen=True)
class Daemon:
    """One process.

    ``after``: processes that must work before this one is started. ``port``: takes connections when it works.
    ``url``: answers when it works. ``heartbeat``: ``BINARY@HOST`` of the row in which it reports.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    url: str = ""
    port: int = 0
    heartbeat: str = ""
    rpc: Rpc | None = None
