"""Commands about Mistral: the workbooks that ship, their way into a Mistral, and plans as plain workflows."""

import argparse
from typing import Any

import yaml

from stackmend.clients.mistral import Mistral
from stackmend.clients.signin import Timeouts, cloud_region
from stackmend.commands.base import Document, Listing
from stackmend.commands.cloudy import Asking
from stackmend.commands.planning import plan_for
from stackmend.engine import plan as plans
from stackmend.engine import planning
from stackmend.engine.plan import Plan
from stackmend.errors import BadInput
from stackmend.workbooks import export, shipped


class WorkbookList(Listing):
    """The workflows for Mistral that ship with stackmend."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Columns and rows."""
        return ("Workflow", "Description"), [(name, found["description"]) for name, found in shipped.workflows()]


class WorkbookShow(Document):
    """A workbook as it is uploaded."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which one."""
        parser = super().get_parser(prog_name)
        parser.add_argument("workbook", metavar="WORKBOOK", help="its name: stackmend, or stackmend-incidents")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print it."""
        text = shipped.text(parsed_args.workbook)
        self.show(parsed_args, yaml.safe_load(text), text.rstrip())


class WorkbookInstall(Document):
    """Upload the workbooks to the cloud's Mistral, or bring those that it has up to date."""

    auth_required = True

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Upload what differs."""
        manager = getattr(self.app, "client_manager", None)
        options = self.app.options
        region = manager.sdk_connection.config if manager else cloud_region(options.os_cloud, options.os_region_name)
        mistral = Mistral(region, Timeouts(patience=self.settings(parsed_args).patience))
        done = {name: mistral.install(name, text) for name, text in shipped.texts().items()}
        self.show(parsed_args, done, "\n".join(f"{name}: {what}" for name, what in done.items()))
        if missing := [action for action in shipped.actions() if not mistral.knows(action)]:
            self.say(
                f"this Mistral knows no action {', '.join(missing)}: install stackmend where its API, engine and "
                "executors run, and restart them"
            )


class WorkbookExport(Asking):
    """A plan as a plain Mistral workflow, which Mistral itself drives. Changes nothing."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Of which plan."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--plan", metavar="FILE", help="of this plan, instead of a new one of PROCEDURE")
        parser.add_argument("--capture", metavar="FILE", help="recover to this earlier capture")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Plan, unless there is a plan, and print it in Mistral's words."""
        plan = self._plan(parsed_args)
        text = export.workflow(plan)
        if out := export.left_out(plan):
            self.say(f"left out, as only stackmend can take them, and only where they are needed: {', '.join(out)}")
        self.show(parsed_args, yaml.safe_load(text), text.rstrip())

    def _plan(self, parsed_args: argparse.Namespace) -> Plan:
        if parsed_args.plan is None:
            with self.doors(parsed_args, self.settings(parsed_args)) as found:
                return plan_for(self, parsed_args, found)
        if parsed_args.procedure or self.given(parsed_args):
            raise BadInput("--plan exports that plan as it is: leave the procedure and its parameters out")
        plan = plans.read(parsed_args.plan)
        planning.check(plan, parsed_args.plan)
        return plan
