"""The processes of one lab: started, looked at and ended by name, also those that another command started."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from stackmend.lab.control import LabError
from stackmend.lab.openstack.daemon import Daemon

RUNNING, PAUSED, STOPPED = "running", "paused", "stopped"
_LINES = 15
_POLL = 0.05


class Processes:
    """Each process leads a group of its own; ``run/NAME.pid`` holds its id and when it started.

    ``environment`` is all that a process inherits.
    """

    def __init__(self, run: Path, logs: Path, environment: Mapping[str, str]) -> None:
        self._run = run
        self._logs = logs
        self._environment = environment
        self._codes: dict[str, int] = {}

    def start(self, daemon: Daemon) -> None:
        """Start a process that is not running; its output is added to ``logs/NAME.log``."""
        if self.state(daemon.name) != STOPPED:
            return
        for directory in (self._run, self._logs):
            directory.mkdir(parents=True, exist_ok=True)
        self._codes.pop(daemon.name, None)
        writing = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        files = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        files += [(os.POSIX_SPAWN_OPEN, number, str(self.log(daemon.name)), writing, 0o644) for number in (1, 2)]
        # env(1) changes the directory, which spawning can't.
        command = ["env", f"--chdir={self._run}", *daemon.command]
        pid = os.posix_spawnp("env", command, {**self._environment, **daemon.env}, file_actions=files, setsid=True)
        self._pid_file(daemon.name).write_text(f"{pid} {_born(pid)}\n", encoding="ascii")

    def state(self, name: str) -> str:
        """``running``, ``paused`` (SIGSTOP) or ``stopped``."""
        pid = self.pid(name)
        if pid is None:
            return STOPPED
        return PAUSED if _status(pid) == "T" else RUNNING

    def pid(self, name: str) -> int | None:
        """The process's id while it lives."""
        try:
            pid, born = map(int, self._pid_file(name).read_text(encoding="ascii").split())
        except (FileNotFoundError, ValueError):
            return None
        self._reap(name, pid)
        alive = _status(pid) not in ("", "Z") and _born(pid) == born
        return pid if alive else None

    def _reap(self, name: str, pid: int) -> None:
        """A child of ours that ended stays until it is waited for, and only then tells its code."""
        with contextlib.suppress(ChildProcessError):
            ended, code = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._codes[name] = os.waitstatus_to_exitcode(code)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a process and everything it started; nothing if it is not there."""
        pid = self.pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    def pause(self, name: str) -> None:
        """SIGSTOP, and return when it has stopped."""
        self.signal(name, signal.SIGSTOP)
        while self.state(name) == RUNNING:
            time.sleep(_POLL)
            if self.state(name) == RUNNING:
                # One that is just starting a child (vfork) can't stop before that goes on, and that has stopped.
                self.resume(name)
                time.sleep(_POLL)
                self.signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.signal(name, signal.SIGCONT)

    def kill(self, *names: str) -> None:
        """SIGKILL, and return when they are gone."""
        self._end(names, [(signal.SIGKILL, 10)])

    def stop(self, *names: str, patience: float = 5) -> None:
        """SIGTERM, and SIGKILL for what is there after ``patience`` seconds; returns when they are gone."""
        self._end(names, [(signal.SIGCONT, 0), (signal.SIGTERM, patience), (signal.SIGKILL, 10)])

    def _end(self, names: Iterable[str], signals: Iterable[tuple[int, float]]) -> None:
        """Send one signal after the other to what is left of the groups, with a time to wait after each."""
        left = {name: pid for name in names if (pid := self.pid(name)) is not None}
        ending = list(left)
        for number, patience in signals:
            for group in left.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, number)
            left = self._left(left, patience)
        if left:
            raise LabError(f"{', '.join(left)} did not end within 10 s of being killed")
        for name in ending:
            self._pid_file(name).unlink(missing_ok=True)

    def _left(self, groups: Mapping[str, int], patience: float) -> dict[str, int]:
        """What of the groups is alive, as soon as none is or when the time is over."""
        deadline = time.monotonic() + patience
        while True:
            for name, pid in groups.items():
                self._reap(name, pid)
            alive = {int(fields[2]) for fields in _all() if fields[0] not in "ZX"}
            left = {name: pid for name, pid in groups.items() if pid in alive}
            if not left or time.monotonic() >= deadline:
                return left
            time.sleep(_POLL)

    def log(self, name: str) -> Path:
        """The file with a process's output."""
        return self._logs / f"{name}.log"

    def failure(self, name: str, why: str = "") -> LabError:
        """The error that says that a process does not work, with the last lines it wrote.

        ``why``: what was waited for; without, that it ended, and with which code.
        """
        code = self._codes.get(name)
        ended = "ended" if code is None else f"exited with code {code}"
        log = self.log(name)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        last = "\n  ".join(lines[-_LINES:]) or "(nothing)"
        return LabError(f"{name} {why or ended}; the last lines of {log}:\n  {last}")

    def _pid_file(self, name: str) -> Path:
        return self._run / f"{name}.pid"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _status(pid: int) -> str:
    return next(iter(_stat(pid)), "")


def _born(pid: int) -> int:
    """When it started, in clock ticks since the machine did: with the id, that names a process for good."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _all() -> Iterator[list[str]]:
    """The fields of every process there is."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            yield fields


def memory(leaders: Iterable[int]) -> dict[int, float]:
    """What each of these processes and everything in its group really costs, in MiB (PSS)."""
    sizes = dict.fromkeys(leaders, 0.0)
    for entry in Path("/proc").iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdigit() else []
        if fields and int(fields[2]) in sizes:
            sizes[int(fields[2])] += _pss(entry)
    return sizes


def _pss(entry: Path) -> float:
    with contextlib.suppress(OSError):
        for line in (entry / "smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
