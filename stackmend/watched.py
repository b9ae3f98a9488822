"""Health and metrics of a worker, for a load balancer, systemd or Prometheus: two pages on a socket of its own."""

import contextlib
import json
import pathlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from stackmend.engine import orders
from stackmend.engine.store import Store
from stackmend.engine.worker import Worker
from stackmend.errors import BadInput, StackmendError


class _Collector:
    """What there is to count, at the moment it is asked for."""

    def __init__(self, worker: Worker, store: Store) -> None:
        self._worker, self._store = worker, store

    def collect(self) -> Iterator[Metric]:
        """Each as Prometheus wants it."""
        in_hand = len(self._worker.conductor.in_hand) if self._worker.conductor else 0
        yield GaugeMetricFamily("stackmend_lanes_in_hand", "Lanes that this worker executes now.", in_hand)
        yield GaugeMetricFamily("stackmend_runs_led", "Runs that this worker leads now.", len(self._worker.leads))
        known = GaugeMetricFamily("stackmend_orders", "Orders in the run store, by state.", labels=["state"])
        for state, count in orders.counts(self._store).items():
            known.add_metric([state], count)
        yield known


@contextlib.contextmanager
def at(address: str, worker: Worker, store: Store) -> Iterator[None]:
    """Answer /healthz and /metrics at ``address`` (HOST:PORT, or a path) while the block lasts. Raises BadInput."""
    registry = CollectorRegistry()
    registry.register(_Collector(worker, store))

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        try:
            if environ["PATH_INFO"] == "/metrics":
                status, kind, body = "200 OK", "text/plain; version=0.0.4", generate_latest(registry)
            elif environ["PATH_INFO"] == "/healthz":
                orders.counts(store)
                worker.check()
                told = {"worker": worker.name, "at": time.time(), "leads": worker.leads}
                status, kind, body = "200 OK", "application/json", json.dumps(told).encode()
            else:
                status, kind, body = "404 Not Found", "text/plain", b"there are /healthz and /metrics\n"
        except StackmendError as error:
            status, kind, body = "503 Service Unavailable", "text/plain", f"{error}\n".encode()
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    server = _server(address, answer)
    thread = threading.Thread(target=server.serve_forever, name="stackmend-watched", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(WSGIRequestHandler):
    # Seconds for a request to come.
    timeout = 10

    def log_message(self, *_: Any) -> None:
        """Nothing: who asks for health asks every second."""

    def address_string(self) -> str:
        return "socket"


class _Threading(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Local(_Threading):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def get_request(self) -> Any:
        request, _ = super().get_request()
        return request, ("socket", 0)


def _make_room(place: pathlib.Path) -> None:
    """Remove the socket that a worker before this one has left there, and nothing else. Raises OSError."""
    if place.is_socket():
        place.unlink()
    elif place.exists():
        raise FileExistsError(f"{place} is there already, and is no socket")


def _server(address: str, answer: Any) -> WSGIServer:
    host, _, port = address.rpartition(":")
    try:
        if "/" in address:
            _make_room(pathlib.Path(address))
            server: WSGIServer = _Local(address, _Quiet)  # type: ignore[arg-type]
            pathlib.Path(address).chmod(0o660)
            server.set_app(answer)
            return server
        return make_server(host or "127.0.0.1", int(port), answer, _Threading, _Quiet)
    except (OSError, ValueError, OverflowError) as error:
        raise BadInput(f"--watched-at {address} can't be used: {error}") from None
