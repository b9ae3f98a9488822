"""Servers of Debian's that run for real, on loopback: what controllers share (lab.boards, lab.databases)."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SECRET = "sekret-of-the-lab"
# Seconds for a server to answer once it is started.
_PATIENCE = 60.0


# Ten apart: some of these servers take the next one too. Each is given once: its server may not listen yet.
_PORTS = iter(range(21000 + os.getpid() % 50 * 200, 32000, 10))


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives away."""
    for port in _PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no port between 21000 and 32000 is free")


class Server:
    """One server. ``prepare`` makes its files once; ``command`` starts it; ``works`` raises until it answers."""

    # Whom it runs as; None: whoever starts it.
    user: str | None = None

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory, self.port = directory, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        self.prepare()

    def prepare(self) -> None:
        """Nothing, usually."""

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def works(self) -> None:
        """Raise OSError, or what its client raises, while it does not answer."""
        socket.create_connection(("127.0.0.1", self.port), 1).close()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.directory, user=self.user)
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.command()[0]} does not answer: see {self.directory / 'log'}")
            time.sleep(0.05)

    def stop(self, kill: bool = False) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Take away what it keeps elsewhere than in its directory: nothing, usually."""

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise OSError(f"{self.command()[0]} has ended: see {self.directory / 'log'}")
        try:
            self.works()
        except Exception:  # noqa: BLE001 - each client has errors of its own
            return False
        return True


def certificate(directory: Path) -> tuple[str, str]:
    """Make a certificate for 127.0.0.1, and its key; returns both files. It is its own authority."""
    files = str(directory / "cert.pem"), str(directory / "key.pem")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*made, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


@contextlib.contextmanager
def running(kind: Callable[[Path], Server], directory: Path) -> Iterator[Server]:
    """One server while the block lasts."""
    server = kind(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop(kill=True)
        server.remove()
