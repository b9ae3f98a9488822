"""Commands that die at a chosen instant, for real: the process is killed by the kernel, nothing is cleaned up.

An instant lies before and after every write to the run store, and around every side effect: before the call
leaves, and after the service has answered but before anybody in the process has seen the answer. They are counted
as they come, so a step that is written tomorrow is covered tomorrow.

Run as a program it is a nursery: it imports stackmend once, then forks a child for each command it is given.
"""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Life:
    """How a child ended: its exit code (negative: the signal), and the instants it lived through."""

    code: int
    instants: list[str]
    out: str
    err: str


class Nursery:
    """Children of one process that has everything imported; each is a command of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-W", "ignore", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def command(self, environment: dict[str, str], words: Sequence[str], die_at: int | None = None) -> Life:
        """Run ``stackmend WORDS`` and let it die at its ``die_at``-th instant, if it lives that long."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        files = {name: str(self._directory / name) for name in ("instants", "out", "err")}
        order = {"words": list(words), "environment": environment, "die_at": die_at, "files": files}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        found = {name: Path(path).read_text(encoding="utf-8") for name, path in files.items()}
        return Life(code, found["instants"].splitlines(), found["out"], found["err"])


class Fate:
    """Counts instants, writes them down, and kills the process at the chosen one."""

    def __init__(self, die_at: int | None, record: str) -> None:
        self._die_at = die_at
        self._record = os.open(record, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND)
        self._lived = 0
        self._lock = threading.Lock()

    def instant(self, name: str) -> None:
        """One instant has come."""
        with self._lock:
            self._lived += 1
            os.write(self._record, f"{name}\n".encode())
            if self._lived == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        """The same effect with an instant before it and one after it, its answer not yet delivered."""

        @functools.wraps(effect)
        def mortal(*args: Any, **kwargs: Any) -> Any:
            self.instant(f"before {name}")
            try:
                return effect(*args, **kwargs)
            finally:
                self.instant(f"after {name}, answer not delivered")

        return mortal


def make_mortal(fate: Fate) -> None:
    """Put instants around every write to the run store and every side effect of this process."""
    from keystoneauth1.session import Session

    from stackmend.clients.database import Database
    from stackmend.clients.fencing import Fences
    from stackmend.clients.ssh import Ssh
    from stackmend.engine import ownership, store, writer

    for module in (ownership, store, writer):
        module.writing = _mortal_writing(fate, module.writing)  # type: ignore[attr-defined]
    request = Session.request

    def mortal_request(self: Session, url: str, method: str, **kwargs: Any) -> Any:
        if method == "GET" or url.endswith("/auth/tokens"):
            return request(self, url, method, **kwargs)
        return fate.around(f"{method} {url.rpartition('/')[2]}", request)(self, url, method, **kwargs)

    Session.request = mortal_request
    Database.insert = fate.around("a new row", Database.insert)  # type: ignore[method-assign]
    Database.change = fate.around("statements", Database.change)  # type: ignore[method-assign]
    Ssh.run = fate.around("ssh command", Ssh.run)  # type: ignore[method-assign]
    Fences.switch = fate.around("fence", Fences.switch)  # type: ignore[method-assign]


def _mortal_writing(fate: Fate, writing: Callable[..., Any]) -> Callable[..., Any]:
    @contextlib.contextmanager
    def mortal(engine: Any) -> Iterator[Any]:
        with writing(engine) as connection:
            yield connection
            fate.instant("before a commit")
        fate.instant("after a commit")

    return mortal


def _child(order: dict[str, Any]) -> int:
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(order["files"][name], os.O_CREAT | os.O_TRUNC | os.O_WRONLY), stream)
    os.environ.update(order["environment"])
    from stackmend.shell import main

    make_mortal(Fate(order["die_at"], order["files"]["instants"]))
    code = main(order["words"])
    sys.stdout.flush()
    return code


def _nursery() -> None:
    import stackmend.commands.look
    import stackmend.commands.runs
    import stackmend.lab.control  # noqa: F401
    from stackmend.engine.procedures import catalogue

    catalogue()

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 70
            with contextlib.suppress(BaseException):
                code = _child(json.loads(line))
            os._exit(code)
        _, ended = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(ended)}\n".encode())


if __name__ == "__main__":
    _nursery()
