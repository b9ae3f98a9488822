"""`stackmend worker`: carries out orders, leads runs, executes lanes; as many of them as there are controllers."""

import argparse
import contextlib
import threading

from stackmend import watched
from stackmend.commands.cloudy import OnCloud
from stackmend.engine import board
from stackmend.engine.coordinator import Limits
from stackmend.engine.status import LaneStatus
from stackmend.engine.worker import Limit, Worker
from stackmend.engine.working import Session
from stackmend.settings import Settings


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

            limit = Limit(settings.claim, min(settings.lanes, settings.claimed))
            worker = Worker(store, session, shared, limit)
            if parsed_args.watched_at:
                stack.enter_context(watched.at(parsed_args.watched_at, worker, store))
            kind = settings.board.get("kind")
            lanes = f"lanes are shared by {kind} at {board.where(settings.board)}" if shared else "it shares no lanes"
            self.say(f"worker {worker.name}: {lanes}; runs are in {store.shown}")
            goes_on = "the steps under way end first; what is left goes on with the other workers"
            # Not in the signal's own frame: what it interrupted may hold the lock that stopping takes.
            with self.until_told(threading.Thread(target=worker.stop).start, goes_on):
                worker.work()
            self.say(f"worker {worker.name} has left everything as it stands")

    def _session(self, stack: contextlib.ExitStack, parsed_args: argparse.Namespace, settings: Settings) -> Session:
        found = stack.enter_context(self.doors(parsed_args, settings))
        limits = Limits(settings.lanes, settings.per_host)
        return Session(found.doors, found.cloud, limits, threading.Event(), self._told, settings.lease, settings.settle)

    def _told(self, lane: LaneStatus) -> None:
        self.say(f"{lane.title}: {lane.state}{f': {lane.error}' if lane.error else ''}")
