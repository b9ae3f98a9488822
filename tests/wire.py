"""A wire to a server on loopback that can be cut as a network is: nobody is told, what is sent arrives nowhere."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Wire:
    """Leads from ``port`` to another one; ``cut`` holds up whatever is sent from then on, ``mend`` lets it arrive."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._whole = threading.Event()
        self._whole.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mend()
        # Closing it alone would not wake who accepts.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for end in self._ends:
            _shut(end)
        for thread in self._threads[1:]:
            thread.join()
        for end in [*self._ends, self._listening]:
            end.close()

    def cut(self) -> None:
        """From now on both sides hear nothing of each other."""
        self._whole.clear()

    def mend(self) -> None:
        """What was held up arrives."""
        self._whole.set()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._carry, args=(one, other)))
                    self._threads[-1].start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._whole.wait()
                other.sendall(data)
        _shut(other)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
