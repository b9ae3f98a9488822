"""`stackmend worker`: carries out orders, leads runs, executes lanes; as many of them as there are controllers."""

import argparse
import contextlib
import logging
import signal
import threading
from collections.abc import Iterator

from stackmend import watched
from stackmend.commands.cloudy import OnCloud
from stackmend.engine import board
from stackmend.engine.coordinator import Limits
from stackmend.engine.status import LaneStatus
from stackmend.engine.worker import Limit, Worker
from stackmend.engine.working import Session
from stackmend.settings import Settings

LOG = logging.getLogger("stackmend.worker")


class Work(OnCloud):
    """Carry out what is ordered, together with all other workers of this run store, until SIGTERM."""

    # It signs in by itself, and goes on trying while keystone is down.
    auth_required = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Where health and metrics are asked for."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--watched-at",
            metavar="ADDRESS",
            help="answer /healthz and /metrics (Prometheus) there: HOST:PORT, or the path of a socket",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Work until SIGTERM or Ctrl-C."""
        settings = self.settings(parsed_args)
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(self.store(parsed_args))
            shared = board.opened(settings.board) if settings.board else None
            if shared is not None:
                stack.callback(shared.close)

            def session() -> Session:
                return self._session(stack, parsed_args, settings)

            worker = Worker(store, session, shared, Limit(settings.claim, settings.lanes))
            if parsed_args.watched_at:
                stack.enter_context(watched.at(parsed_args.watched_at, worker, store))
            kind = settings.board.get("kind")
            lanes = f"lanes are shared by {kind} at {board.where(settings.board)}" if shared else "it shares no lanes"
            self.say(f"worker {worker.name}: {lanes}; runs are in {store.shown}")
            with self._until_told(worker):
                worker.work()
            self.say(f"worker {worker.name} has left everything as it stands")

    def _session(self, stack: contextlib.ExitStack, parsed_args: argparse.Namespace, settings: Settings) -> Session:
        found = stack.enter_context(self.doors(parsed_args, settings))
        limits = Limits(settings.lanes, settings.per_host)
        return Session(found.doors, found.cloud, limits, threading.Event(), self._told, settings.lease, settings.settle)

    def _told(self, lane: LaneStatus) -> None:
        self.say(f"{lane.title}: {lane.state}{f': {lane.error}' if lane.error else ''}")

    @contextlib.contextmanager
    def _until_told(self, worker: Worker) -> Iterator[None]:
        """SIGTERM and Ctrl-C end the steps under way and begin no other; a second Ctrl-C ends the process at once."""

        def stop(_number: int, _frame: object) -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            self.say("stopping: the steps under way end first; what is left goes on with the other workers")
            threading.Thread(target=worker.stop).start()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
