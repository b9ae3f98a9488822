"""The sockets: one for each service, so that one can really be closed; one more for the control API."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]],
    Awaitable[None],
]


class Listener:
    """One port of 127.0.0.1, which can be closed (connections refused) and opened again.

    A closed one keeps its port: bound and not listening, so that nobody else is given it meanwhile.
    """

    def __init__(self, app: App, port: int = 0) -> None:
        self._config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, date_header=False)
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._socket = bound(port)
        self.port = int(self._socket.getsockname()[1])

    @property
    def is_open(self) -> bool:
        """True while connections are accepted."""
        return self._server is not None

    async def open(self) -> None:
        """Accept connections; nothing when it does already."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._protocol, sock=self._socket, backlog=1024)

    async def close(self) -> None:
        """Refuse connections and drop those that are open."""
        if self._server is not None:
            self._server.close()
            self._server, self._socket = None, bound(self.port)
        for protocol in list(self._state.connections):
            protocol.transport.abort()
        # A transport closes its socket in a later turn of the loop; nobody may find one half closed.
        while self._state.connections:
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    def abort(self, client: tuple[str, int]) -> bool:
        """Drop the connection from ``client`` without an answer; False when it is not one of this port's."""
        for protocol in list(self._state.connections):
            if isinstance(protocol, H11Protocol) and protocol.client == client:
                protocol.transport.abort()
                return True
        return False

    def _protocol(self) -> H11Protocol:
        return H11Protocol(config=self._config, server_state=self._state, app_state={})


class Listeners:
    """The listeners of every service, by its name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Listener] = {}

    def add(self, name: str, app: App, port: int = 0) -> Listener:
        """Make the listener of a service; it is opened later."""
        self._by_name[name] = Listener(app, port)
        return self._by_name[name]

    def __getitem__(self, name: str) -> Listener:
        return self._by_name[name]

    def names(self) -> list[str]:
        """Every service that has one."""
        return list(self._by_name)

    def open_names(self) -> list[str]:
        """The services that accept connections now."""
        return [name for name, listener in self._by_name.items() if listener.is_open]

    def abort(self, request: Request) -> None:
        """Drop the connection a request came by."""
        client = request.scope["client"]
        any(listener.abort(tuple(client)) for listener in self._by_name.values())


def bound(port: int) -> socket.socket:
    """A socket that has a port of 127.0.0.1 to itself (a free one for 0), and refuses connections."""
    # By its name: only then does asyncio turn off what holds an answer's second half back for 40 ms.
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    return found
