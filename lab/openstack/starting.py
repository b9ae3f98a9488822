"""Processes brought up at once, each as soon as what it needs works."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from stackmend.lab.control import LabError
from stackmend.lab.openstack import health
from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.processes import STOPPED, Processes

# Generous: a machine that does much else is slow, and what ends is told at once.
PATIENCE = 300.0


class Start:
    """One start of several daemons; ``patience`` is how long each may take to work, in seconds."""

    def __init__(self, processes: Processes, daemons: Iterable[Daemon], patience: float = PATIENCE) -> None:
        self._processes = processes
        self._daemons = list(daemons)
        self._patience = patience
        self._works = {daemon.name: threading.Event() for daemon in self._daemons}
        self._failed = threading.Event()

    def run(self) -> None:
        """Start them all; LabError of the first that fails, when nothing more is being started."""
        if not self._daemons:
            return
        with ThreadPoolExecutor(len(self._daemons)) as pool:
            futures = [pool.submit(self._bring_up, daemon) for daemon in self._daemons]
        errors = [error for future in futures if (error := future.exception())]
        if errors:
            raise errors[0]

    def _bring_up(self, daemon: Daemon) -> None:
        try:
            if self._all_work(daemon.after):
                self._start(daemon)
                self._wait(daemon)
                self._works[daemon.name].set()
        except LabError:
            self._failed.set()
            raise

    def _start(self, daemon: Daemon) -> None:
        """Start it if it is stopped; never beside somebody else's on its port, for which it would be taken."""
        if self._ended(daemon) and daemon.port and health.connects(daemon.port):
            why = "another lab, or anything else, has it: stop that, or use another port base"
            raise LabError(f"{daemon.name} can't have port {daemon.port}: {why}")
        self._processes.start(daemon)

    def _all_work(self, names: Iterable[str]) -> bool:
        """Wait for what is started along with it; False when that fails."""
        events = [self._works[name] for name in names if name in self._works]
        return all(self._until(event.is_set) for event in events)

    def _wait(self, daemon: Daemon) -> None:
        """Until it works, ends, or the time is over."""
        works = _condition(daemon)
        if not self._until(lambda: self._ended(daemon) or works()) and not self._failed.is_set():
            raise self._processes.failure(daemon.name, f"did not answer within {self._patience:g} s")
        if self._ended(daemon):
            raise self._processes.failure(daemon.name)

    def _ended(self, daemon: Daemon) -> bool:
        return self._processes.state(daemon.name) == STOPPED

    def _until(self, condition: Callable[[], bool]) -> bool:
        done = health.until(lambda: self._failed.is_set() or condition(), self._patience)
        return done and not self._failed.is_set()


def _condition(daemon: Daemon) -> Callable[[], bool]:
    if daemon.url:
        return lambda: health.answers(daemon.url)
    if daemon.port:
        return lambda: health.connects(daemon.port)
    return lambda: True
