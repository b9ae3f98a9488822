"""Commands that start a run, or go on with one."""

import argparse
import contextlib
import sys
from collections.abc import Iterator

from stackmend.commands import text
from stackmend.commands.base import EXIT_CODES, OnRun
from stackmend.commands.cloudy import Asking, Working
from stackmend.commands.planning import plan_for
from stackmend.doors import Opened
from stackmend.engine import order_status, orders, report, runs, status
from stackmend.engine.ownership import whoami
from stackmend.engine.plan import Plan, write_text
from stackmend.engine.runs import Session
from stackmend.engine.store import PLAN, Run, Store
from stackmend.errors import BadInput, NeedsHands, NotApproved
from stackmend.settings import Settings, state_directory


class Started(Working):
    """What all of them do at the end: say how the run stands, and exit accordingly."""

    @contextlib.contextmanager
    def at_work(self, parsed_args: argparse.Namespace, store: Store, run: Run) -> Iterator[Session]:
        """Work on the run while the block lasts, stoppable; then say how it stands."""
        settings = self.settings(parsed_args)
        with self.doors(parsed_args, settings) as found:
            session = self.session(store, run, settings, found)
            with self.stoppable(session, run.id):
                yield session
            self.tell(parsed_args, store, run.id)

    def tell(self, parsed_args: argparse.Namespace, store: Store, run_id: str) -> None:
        """Print the run's status."""
        data = report.status_of(store, run_id)
        self.show(parsed_args, data, text.status(data))
        self.exit_code = EXIT_CODES[data["state"]]


class RunProcedure(Asking, Started):
    """Plan a procedure, have the plan approved, and execute it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """A plan file, the incident's key, approval."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--plan", metavar="FILE", help="execute this plan, exactly, instead of making one")
        parser.add_argument("--capture", metavar="FILE", help="recover to this earlier capture")
        parser.add_argument("--key", help="the incident: the same key starts no second run")
        parser.add_argument("-y", "--yes", action="store_true", help="approve the plan here and now")
        parser.add_argument(
            "--detach", action="store_true", help="order it under its --key, for a worker to plan and execute"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Plan, store, approve, execute; or leave all of that to a worker."""
        if parsed_args.detach:
            self._order(parsed_args)
            return
        settings = self.settings(parsed_args)
        with self.store(parsed_args) as store, self.doors(parsed_args, settings) as found:
            run_id = self._planned(parsed_args, store, found, settings)
            if run_id is None:
                return
            run = store.run(run_id)
            session = self.session(store, run, settings, found)
            self.say(f"run {run_id} begins: {len(run.plan.lanes)} lanes")
            with self.stoppable(session, run_id):
                runs.execute(store, run_id, session)
            self.tell(parsed_args, store, run_id)

    def _planned(self, parsed_args: argparse.Namespace, store: Store, found: Opened, settings: Settings) -> str | None:
        """Plan, store and approve; the run's id, None where there is nothing to start. Raises NeedsHands."""
        plan = plan_for(self, parsed_args, found)
        if not plan.lanes:
            self.show(parsed_args, plan.to_json(), text.plan(plan))
            if left := plan.left_out():
                raise NeedsHands(f"nothing of it can be done, and no run was made: {left}")
            self.say("nothing to do: no run was made")
            return None
        run_id, new = store.create(plan, parsed_args.key or plan.digest[:16])
        if not new:
            self.say(f"run {run_id} exists already for this key: nothing was started")
            self.tell(parsed_args, store, run_id)
            return None
        if left := plan.left_out():
            self.say(f"the plan leaves out {left}")
        self._export(plan, run_id, settings)
        self._approve(parsed_args, store, plan, run_id)
        return run_id

    def _order(self, parsed_args: argparse.Namespace) -> None:
        if not parsed_args.key or not parsed_args.procedure or parsed_args.plan or parsed_args.capture:
            raise BadInput("--detach takes a procedure and the incident's --key; a worker makes the plan itself")
        with self.store(parsed_args) as store:
            given = self.given(parsed_args)
            _, new = orders.place(store, parsed_args.key, parsed_args.procedure, given, parsed_args.yes)
            self.say("ordered: a worker carries it out" if new else "ordered before, under this key: nothing was added")
            data = order_status.look(store, parsed_args.key)
        self.show(parsed_args, data, f"`stackmend order show {parsed_args.key}` tells what becomes of it")

    def _approve(self, parsed_args: argparse.Namespace, store: Store, plan: Plan, run_id: str) -> None:
        if not parsed_args.yes:
            if not sys.stdin.isatty():
                raise NotApproved(
                    f"run {run_id} is planned and waits for approval: read `stackmend show {run_id}`, then "
                    f"`stackmend approve {run_id}` and `stackmend resume {run_id}`"
                )
            self.say(text.plan(plan))
            if input("execute this plan? (yes/no) ").strip().lower() != "yes":
                raise NotApproved(
                    f"run {run_id} was not approved; nothing was changed: `stackmend approve {run_id}` later"
                )
        store.approve(run_id)

    def _export(self, plan: Plan, run_id: str, settings: Settings) -> None:
        directory = state_directory() / "plans"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            # On one line: indented, a plan of thousands of servers takes seconds to write, and much room.
            write_text(plan.parts(), str(directory / f"{run_id}.json"))
        except (OSError, BadInput) as error:
            self.say(f"the plan and its capture could not be copied to {directory}: {error}; they are in the run store")


class Resume(OnRun, Started):
    """Go on with a run from its last completed step."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Taking over from an owner that still lives."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--take-over", action="store_true", help="take the run from a process that is stuck")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Execute what is not done."""
        with self.store(parsed_args) as store:
            run = store.run(store.find(parsed_args.run))
            runs.check_resumable(store, run, parsed_args.take_over)
            with self.at_work(parsed_args, store, run) as session:
                runs.execute(store, run.id, session, parsed_args.take_over)


class Retry(OnRun, Started):
    """Execute failed steps again, then what follows them."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which lanes."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--lane", action="append", help="only this lane (key or title); repeatable")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Reset the failed steps and execute."""
        with self.store(parsed_args) as store:
            run = store.run(store.find(parsed_args.run))
            with self.at_work(parsed_args, store, run) as session:
                runs.retry(store, run.id, session, parsed_args.lane)


class Revert(OnRun, Started):
    """Undo what a run changed, last step first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which lanes."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--lane", action="append", help="only this lane (key or title); repeatable")
        parser.add_argument(
            "--where-possible",
            action="store_true",
            help="leave lanes beyond their point of no return as they are",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Revert the lanes."""
        with self.store(parsed_args) as store:
            run = store.run(store.find(parsed_args.run))
            with self.at_work(parsed_args, store, run) as session:
                runs.revert(store, run.id, session, parsed_args.lane, parsed_args.where_possible)


class Skip(OnRun):
    """Count a failed or interrupted step as done; your name and the reason are kept."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which step, and why."""
        parser = super().get_parser(prog_name)
        parser.add_argument("step", metavar="STEP", help="its name, as `stackmend status` shows it")
        parser.add_argument("--reason", required=True, help="why it may be left out")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Store the skip."""
        with self.store(parsed_args) as store:
            run_id = store.find(parsed_args.run)
            runs.skip(store, run_id, parsed_args.step, parsed_args.reason)
            self.say(f"skipped {parsed_args.step}; `stackmend resume {run_id}` goes on behind it")


class Approve(OnRun):
    """Approve what a run waits for: its plan, or a stage that is held; `resume` then goes on."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Why, if that is to be kept."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--reason", default="", help="kept with the approval")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Store the approval."""
        with self.store(parsed_args) as store:
            run_id = store.find(parsed_args.run)
            run = store.run(run_id)
            held = status.held_at(run.plan, store.lanes(run), run.approvals) if run.approved else None
            store.approve(run_id, parsed_args.reason, held.name if held else PLAN)
            what = f"stage {held.name} of run {run_id}" if held else f"run {run_id}"
            self.say(f"{what} is approved by {whoami()}: `stackmend resume {run_id}` executes it")


class Abandon(OnRun):
    """Give a run up: its targets are free for another one; what it did stays done."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Why."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--reason", default="", help="kept with the run")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Store that it was given up."""
        with self.store(parsed_args) as store:
            run_id = store.find(parsed_args.run)
            runs.abandon(store, run_id, parsed_args.reason)
            self.say(f"run {run_id} is abandoned: its targets are free again")
