"""Commands that die at a chosen instant, for real: the process is killed by the kernel, nothing is cleaned up.

An instant lies before and after every write to the run store; around every side effect: before the call leaves,
after the service has answered but before anybody in the process has seen the answer, and once it was seen; and
inside every wait. They are counted as they come, so a step that is written tomorrow is covered tomorrow.

A child may be told a mutant, a function by its dotted name (as those of tests/matrix/mutants.py): it is called before
the command begins, and breaks a rule of the task contract on purpose, or disturbs the process in some other way.

Run as a program it is a nursery: it imports stackmend once, then forks a child for each command it is given.
"""

import contextlib
import functools
import importlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
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

    def command(
        self,
        environment: dict[str, str],
        words: Sequence[str],
        die_at: int | None = None,
        of: str = "",
        mutant: str = "",
    ) -> Life:
        """Run ``stackmend WORDS`` and let it die at its ``die_at``-th instant (``of`` that name), if it comes."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        files = {name: str(self._directory / name) for name in ("instants", "out", "err")}
        order = {
            "words": list(words),
            "environment": environment,
            "die_at": die_at,
            "of": of,
            "files": files,
            "mutant": mutant,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        found = {name: Path(path).read_text(encoding="utf-8") for name, path in files.items()}
        return Life(code, found["instants"].splitlines(), found["out"], found["err"])


class Fate:
    """Counts instants, writes them down, and kills the process at the chosen one."""

    def __init__(self, die_at: int | None, of: str, record: str) -> None:
        self._die_at, self._of = die_at, of
        self._record = os.open(record, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND)
        self._lived = 0
        self._lock = threading.Lock()

    def instant(self, name: str) -> None:
        """One instant has come."""
        with self._lock:
            self._lived += self._of in ("", name)
            os.write(self._record, f"{name}\n".encode())
            if self._lived == self._die_at and self._of in ("", name):
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, effect: Callable[..., Any], named: Callable[..., str]) -> Callable[..., Any]:
        """The same effect with an instant before it, and one after it; ``named`` tells its name from what it is given.

        Where ``named`` tells none, it is no effect.
        """

        @functools.wraps(effect)
        def mortal(*args: Any, **kwargs: Any) -> Any:
            if not (name := named(*args, **kwargs)):
                return effect(*args, **kwargs)
            self.instant(f"before {name}")
            try:
                return effect(*args, **kwargs)
            finally:
                self.instant(f"after {name}")

        return mortal

    def inside(self, wait: Callable[..., Any], named: Callable[..., str]) -> Callable[..., Any]:
        """The same wait, with an instant in it."""

        @functools.wraps(wait)
        def mortal(*args: Any, **kwargs: Any) -> Any:
            self.instant(f"waiting for {named(*args, **kwargs)}")
            return wait(*args, **kwargs)

        return mortal


def make_mortal(fate: Fate) -> None:
    """Put instants around every write to the run store and every side effect of this process, and into its waits."""
    from keystoneauth1.session import Session

    from stackmend.clients.cloud import Cloud
    from stackmend.clients.database import Database
    from stackmend.clients.fencing import Fences
    from stackmend.clients.poll import Waiting
    from stackmend.clients.ssh import Ssh
    from stackmend.engine.journal import Journal

    for module in writers():
        module.writing = _mortal_writing(fate, module.writing)
    # The same call twice: what lies between the two ends is an answer that came and was not delivered.
    Session.request = fate.around(Session.request, _request_name)
    for owner, method, named in (
        (Cloud, "send", lambda _, call, *__: f"{_verb(call.method, call.path, call.body)}, answer delivered"),
        (Database, "insert", lambda _, one: f"INSERT {one.table}"),
        (Database, "change", lambda _, changes: f"UPDATE {', '.join(sorted({one.table for one in changes}))}"),
        (Ssh, "run", lambda *_: "ssh command"),
        (Fences, "switch", lambda _, __, action: f"fence {action}"),
    ):
        setattr(owner, method, fate.around(getattr(owner, method), named))
    Waiting.begin = fate.inside(Waiting.begin, lambda waiting, _: ", ".join(waiting.of))  # type: ignore[method-assign]
    Journal.pause = fate.inside(Journal.pause, lambda *_: "a pause")  # type: ignore[method-assign]


def writers() -> list[Any]:
    """The engine's modules that open transactions; all of the engine has been loaded by now."""
    found = [module for name, module in sys.modules.items() if name.startswith("stackmend.engine.")]
    return [module for module in found if hasattr(module, "writing")]


def _request_name(_: Any, url: str, method: str, **given: Any) -> str:
    if method == "GET" or url.endswith("/auth/tokens"):
        return ""
    return _verb(method, url, given.get("json"))


def _verb(method: str, path: str, body: Any) -> str:
    """A call as a reader knows it: what it does to which kind of thing."""
    kind = [part for part in path.split("?")[0].split("/") if not _is_id(part)][-1]
    return f"{method} {kind} {next(iter(body), '') if isinstance(body, dict) else ''}".rstrip()


def _is_id(part: str) -> bool:
    return not part or len(part) >= 32 or part.isdigit()


def _mortal_writing(fate: Fate, writing: Callable[..., Any]) -> Callable[..., Any]:
    @contextlib.contextmanager
    def mortal(engine: Any) -> Iterator[Any]:
        # A lease is renewed when the clock says so, wherever the work is.
        renewing = threading.current_thread().name == "stackmend-lease"
        with writing(engine) as connection:
            yield connection
            if not renewing:
                fate.instant("before a commit")
        if not renewing:
            fate.instant("after a commit")

    return mortal


def _child(order: dict[str, Any]) -> int:
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(order["files"][name], os.O_CREAT | os.O_TRUNC | os.O_WRONLY), stream)
    os.environ.update(order["environment"])
    from stackmend.shell import main

    if order["mutant"]:
        module, _, name = order["mutant"].rpartition(".")
        getattr(importlib.import_module(module), name)()
    make_mortal(Fate(order["die_at"], order["of"], order["files"]["instants"]))
    code = main(order["words"])
    sys.stdout.flush()
    return code


def _nursery() -> None:
    _warm_up()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = _child(json.loads(line))
            except BaseException:  # noqa: BLE001 - a child never goes back into its nursery
                os.write(2, traceback.format_exc().encode())
            os._exit(code)
        _, ended = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(ended)}\n".encode())


def _warm_up() -> None:
    """Load all that a command loads: a child would spend most of its time on it."""
    from stackmend.shell import main

    with contextlib.redirect_stdout(io.StringIO()):
        main(["procedure", "list"])
    # A command sets logging up for a process of its own.
    logging.getLogger().handlers.clear()


if __name__ == "__main__":
    _nursery()
