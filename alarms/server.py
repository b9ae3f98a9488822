"""The whole listener: its sockets, its threads, from start to stop."""

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stackmend.alarms import web
from stackmend.alarms.configuration import Configuration, Trust
from stackmend.alarms.credentials import Guard
from stackmend.alarms.decider import Decider, Execute, Loop
from stackmend.alarms.keeper import Keeper
from stackmend.alarms.keystone import Keystone
from stackmend.alarms.ledger import STARTING, Ledger
from stackmend.alarms.refusals import MALFORMED, SLOW, Counts
from stackmend.alarms.sources import SOURCES
from stackmend.engine.garbage import fewer_walks
from stackmend.engine.store import Store
from stackmend.errors import BadInput

# Seconds that a request may take to come, that a connection may be idle, and that a stop waits for answers.
REQUEST_SECONDS, _IDLE_SECONDS, _STOP_SECONDS = 20.0, 30, 10
_MOST_CONNECTIONS = 1000
# Seconds without a decision after which the listener is not well: alarms are looked for twice a second.
_STUCK = 60.0


class Listener:
    """Listens from ``start`` to ``stop``. ``say`` tells the operator a line.

    Raises BadInput for a file that can't be used or a port that is not to be had, StoreError.
    """

    def __init__(
        self,
        found: Configuration,
        store: Store,
        say: Callable[[str], None],
        execute: Execute | None = None,
        version: str = "",
    ) -> None:
        self._say, self._counts, self._ledger = say, Counts(say), Ledger(store)
        keystone = Keystone(found.keystone) if found.keystone else None
        guards = {name: Guard(name, found.sources.get(name, Trust()), keystone) for name in SOURCES}
        self._say_whom(guards)
        self._ledger.open_turns()
        app = web.application(guards, self._keep, self._counts, self._ill, self._ledger.counts, version)
        self._server = uvicorn.Server(_config(app, found, self._counts))
        self._socket = _bound(*found.address)
        self.port = int(self._socket.getsockname()[1])
        decider = Decider(self._ledger, found.rules, found.keep, self._decided, execute)
        work = {"stackmend-decider": decider.decide, "stackmend-mistral": decider.execute}
        self._loops = [Loop(name, do, say) for name, do in work.items()]
        self._keeper = Keeper(self._ledger, self._loops[0].nudge)

    def run(self) -> None:
        """Listen until SIGTERM, SIGINT or ``stop``; what was accepted is answered and stored."""
        if threading.current_thread() is threading.main_thread():
            # uvicorn hands on what it has caught, when it is through with it: nothing is left to do for it then.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
        try:
            with fewer_walks():
                self._server.run(sockets=[self._socket])
        finally:
            self._keeper.close()
            for loop in self._loops:
                loop.close()
            self._socket.close()

    def stop(self) -> None:
        """Let ``run`` return."""
        self._server.should_exit = True

    def _say_whom(self, guards: dict[str, Guard]) -> None:
        for name, guard in guards.items():
            ways = (
                f"proves itself by {' or '.join(guard.ways)}" if guard.ways else "is refused: no credentials are set up"
            )
            self._say(f"{name} {ways}")

    async def _keep(self, rows: web.Rows) -> bool:
        return await asyncio.wrap_future(self._keeper.keep(rows))

    def _decided(self, _number: int, verdict: str) -> None:
        self._counts.decided.labels(verdict).inc()
        if verdict == STARTING:
            self._loops[1].nudge()

    def _ill(self) -> str | None:
        if not self._keeper.alive:
            return "nothing is stored any more: restart it"
        stuck = time.monotonic() - self._loops[0].last_well
        return f"no alarm was decided for {stuck:.0f} s: look at the run store" if stuck > _STUCK else None


def _config(app: Any, found: Configuration, counts: Counts) -> uvicorn.Config:
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=_protocol(counts),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        ssl_certfile=found.certificate or None,
        ssl_keyfile=found.key or None,
    )
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise BadInput(f"{found.certificate} and {found.key} are no certificate and its key: {error}") from None
    return config


def _protocol(counts: Counts) -> type[H11Protocol]:
    """uvicorn's protocol, with an end to the time in which a request may come, whether anybody waits for it or not."""

    class Impatient(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._wait_no_more()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
                self._wait_no_more()
            elif self._waiting is None:
                self._wait()

        def send_400_response(self, msg: str) -> None:
            counts.refused("somebody", MALFORMED, "what came is no HTTP")
            super().send_400_response(msg)

        def _wait(self) -> None:
            self._waiting = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

        def _wait_no_more(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def _too_slow(self) -> None:
            counts.refused("somebody", SLOW, f"a request took more than {REQUEST_SECONDS:g} s to come")
            self.transport.abort()

    return Impatient


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # By its protocol's name: only then does asyncio turn off what holds an answer back for 40 ms.
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        # Who connects from now on is answered as soon as the service runs.
        found.listen(_MOST_CONNECTIONS)
    except OSError as error:
        raise BadInput(f"{host}:{port} can't be listened at: {error.strerror}") from None
    return found


def in_thread(listener: Listener) -> threading.Thread:
    """Run a listener beside other work; returns its thread."""
    thread = threading.Thread(target=listener.run, name="stackmend-listener")
    thread.start()
    return thread
