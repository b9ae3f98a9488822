"""What commands that need the cloud share: signing in, databases, a procedure's parameters, stopping cleanly."""

import argparse
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from stackmend.clients.cloud import Cloud, Timeouts
from stackmend.commands.base import Document, no_password, pairs
from stackmend.doors import Opened, opened
from stackmend.engine import status
from stackmend.engine.coordinator import Limits
from stackmend.engine.procedures import catalogue, named
from stackmend.engine.runs import Session
from stackmend.engine.status import LaneStatus
from stackmend.engine.store import Run, Store
from stackmend.errors import BadInput
from stackmend.heap import one_heap
from stackmend.settings import Settings


class OnCloud(Document):
    """A command that talks to the cloud; the OpenStackClient signs in for it."""

    auth_required = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Databases; the cloud itself is named the OpenStack way (--os-cloud, OS_CLOUD, OS_*)."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--sql",
            action="append",
            metavar="NAME=WHERE",
            help="a service's database (nova, cinder, neutron): its .conf file or a URL without password; repeatable",
        )
        return parser

    @contextlib.contextmanager
    def doors(self, parsed_args: argparse.Namespace, settings: Settings) -> Iterator[Opened]:
        """Everything a step may ask for, open."""
        one_heap()
        sql = pairs(parsed_args.sql, "--sql")
        for name, where in sql.items():
            no_password(f"--sql {name}=", str(where), f"as databases.{name} into the settings file, or name its .conf")
        with opened(settings, self._cloud(settings), sql) as found:
            yield found

    @contextlib.contextmanager
    def until_told(self, stop: Callable[[], None], what_goes_on: str) -> Iterator[None]:
        """Have Ctrl-C and SIGTERM call ``stop`` while the block lasts; a second Ctrl-C ends the process at once."""

        def told(_number: int, _frame: object) -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            stop()
            self.say(f"stopping: {what_goes_on}")

        before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _cloud(self, settings: Settings) -> Cloud:
        limits = dict.fromkeys(("compute", "block-storage", "network", "placement", "identity"), settings.calls)
        timeouts = Timeouts(patience=settings.patience)
        manager = getattr(self.app, "client_manager", None)
        if manager is not None:
            return Cloud.from_connection(manager.sdk_connection, timeouts=timeouts, limits=limits)
        options = self.app.options
        return Cloud.connect(options.os_cloud, options.os_region_name, timeouts=timeouts, limits=limits)


class Asking(OnCloud):
    """A command that takes a procedure and its parameters."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The procedure, and every parameter that any procedure declares."""
        parser = super().get_parser(prog_name)
        # Options may also stand between the procedure's name and what it is for.
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
        parser.add_argument("procedure", metavar="PROCEDURE", nargs="?", help="`stackmend procedure list` shows them")
        parser.add_argument("words", metavar="WORD", nargs="*", help="what the procedure is for: a host, for example")
        parser.add_argument("-p", "--param", action="append", metavar="NAME=VALUE", help="a parameter; repeatable")
        known = {item.name: item for found in catalogue().values() for item in found.parameters}
        group = parser.add_argument_group("parameters of the procedures")
        for name, parameter in sorted(known.items()):
            option = "--" + name.replace("_", "-")
            extra: dict[str, Any] = {"nargs": "?", "const": "true"} if parameter.kind is bool else {}
            group.add_argument(
                option, dest=f"given_{name}", action="append", metavar="VALUE", help=parameter.help, **extra
            )
        return parser

    def given(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        """The parameters as they were given, not yet checked."""
        options = {
            key.removeprefix("given_"): value
            for key, value in vars(parsed_args).items()
            if key.startswith("given_") and value is not None
        }
        return {**self._positional(parsed_args), **options, **pairs(parsed_args.param, "--param")}

    def _positional(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        """The words behind the procedure's name, as the parameters that it takes in this way."""
        if not parsed_args.words:
            return {}
        taken = [item for item in named(parsed_args.procedure).parameters if item.positional]
        if len(parsed_args.words) > len(taken):
            names = " ".join(item.name.upper() for item in taken) or "nothing"
            raise BadInput(
                f"{parsed_args.procedure} takes {names} behind its name, and not {' '.join(parsed_args.words)}: "
                f"`stackmend procedure show {parsed_args.procedure}` explains it"
            )
        return {item.name: word for item, word in zip(taken, parsed_args.words, strict=False)}


class Working(OnCloud):
    """A command that works on a run until it ends or is stopped."""

    def session(self, store: Store, run: Run, settings: Settings, found: Opened) -> Session:
        """What this process brings to the run; progress is told on stderr."""
        ended = {lane.key for lane in store.lanes(run) if lane.state in (status.DONE, status.SKIPPED)}
        progress = _Progress(self.say, ended, len(run.plan.lanes))
        limits = Limits(settings.lanes, settings.per_host)
        return Session(found.doors, found.cloud, limits, threading.Event(), progress, settings.lease, settings.settle)

    @contextlib.contextmanager
    def stoppable(self, session: Session, run_id: str) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM stop the run where it stands; a second Ctrl-C ends the process at once."""
        goes_on = f"what is under way in the cloud goes on there; `stackmend resume {run_id}` goes on here"
        with self.until_told(session.stop.set, goes_on):
            yield


class _Progress:
    """One line on stderr for each lane that ended."""

    def __init__(self, say: Callable[[str], None], ended: set[str], lanes: int) -> None:
        self._say, self._ended, self._lanes = say, ended, lanes
        self._lock = threading.Lock()

    def __call__(self, lane: LaneStatus) -> None:
        with self._lock:
            self._ended.add(lane.key)
            why = f": {lane.error}" if lane.error else ""
            self._say(f"[{len(self._ended)}/{self._lanes}] {lane.title}: {lane.state}{why}")
