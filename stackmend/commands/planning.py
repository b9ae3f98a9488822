"""Commands that only look at the cloud: plan, capture."""

import argparse
import json
import pathlib
from typing import Any

from stackmend.commands import text
from stackmend.commands.cloudy import Asking
from stackmend.doors import Opened
from stackmend.engine import parameters, planning, procedures
from stackmend.engine import plan as plans
from stackmend.engine.plan import Plan
from stackmend.errors import BadInput, PlanRefused
from stackmend.tasks.captured import whole


def plan_for(command: Asking, parsed_args: argparse.Namespace, found: Opened) -> Plan:
    """The plan in the file that was named, or a new one. Raises BadInput, PlanRefused, CloudError."""
    given = command.given(parsed_args)
    if getattr(parsed_args, "plan", None):
        if parsed_args.procedure or given:
            raise BadInput("--plan executes that plan as it is: leave the procedure and its parameters out")
        return _checked(plans.read(parsed_args.plan), parsed_args.plan, found)
    if not parsed_args.procedure:
        raise BadInput("name a procedure: `stackmend procedure list` shows them")
    procedure = procedures.named(parsed_args.procedure)
    values = parameters.parse(procedure.name, procedure.parameters, given)
    captured = None
    if parsed_args.capture and not procedure.to_capture:
        raise BadInput(f"{procedure.name} recovers to no earlier capture: leave --capture out")
    if parsed_args.capture:
        captured = planning.capture(procedure, values, found.doors)
        captured["then"] = read_capture(parsed_args.capture, found.cloud, captured["format"])
    return planning.make(procedure, given, found.doors, found.cloud, captured)


def read_capture(path: str, cloud: dict[str, str], form: int) -> list[dict[str, Any]]:
    """The servers of an earlier capture of format ``form``.

    Raises BadInput for a file that is not one, was edited, or is of another cloud or format.
    """
    try:
        data = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        servers, where, digest = list(data["servers"]), data["cloud"].get("auth_url"), data["digest"]
        fitting = plans.digest_of(data)
    except OSError as error:
        raise BadInput(f"the capture {path} can't be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadInput(f"{path} is not a capture: make one with `stackmend capture power-loss -o {path}`") from None
    if digest != fitting:
        raise BadInput(
            f"the capture {path} was changed after it was made: its digest no longer fits, so it proves nothing; "
            "use an unchanged one, and --server or --exclude to choose"
        )
    if data.get("format") != form:
        raise BadInput(f"the capture {path} is of format {data.get('format')}, and this stackmend reads format {form}")
    if where != cloud.get("auth_url"):
        raise BadInput(f"the capture {path} is of the cloud at {where}, not of {cloud.get('auth_url')}")
    if not servers:
        raise BadInput(f"the capture {path} is empty: there is nothing in it to recover to")
    if len({server["id"] for server in servers if whole(server)}) != len(servers):
        raise BadInput(f"the capture {path} does not hold all that is needed of each of its servers: make a new one")
    return servers


def _checked(plan: Plan, path: str, found: Opened) -> Plan:
    planning.check(plan, path)
    if plan.cloud.get("auth_url") != found.cloud.get("auth_url"):
        raise PlanRefused(
            f"{path} was planned for the cloud at {plan.cloud.get('auth_url')}, and these credentials are for "
            f"{found.cloud.get('auth_url')}: nothing of it is run"
        )
    return plan


class MakePlan(Asking):
    """Show what a procedure would do: verdicts, order, the exact calls. Changes nothing."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Where to write it, and the capture to recover to."""
        parser = super().get_parser(prog_name)
        parser.add_argument("-o", "--output", metavar="FILE", help="write the plan there, for `run --plan FILE`")
        parser.add_argument("--capture", metavar="FILE", help="recover to this earlier capture")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Plan, print, and write where asked."""
        with self.doors(parsed_args, self.settings(parsed_args)) as found:
            plan = plan_for(self, parsed_args, found)
        self.show(parsed_args, plan.to_json(), text.plan(plan))
        if parsed_args.output:
            plans.write(plan, parsed_args.output)
            self.say(
                f"written to {parsed_args.output}: `stackmend run --plan {parsed_args.output}` executes exactly this"
            )


class Capture(Asking):
    """Record the truth for later: do it before anything happens. Changes nothing."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Where to write it."""
        parser = super().get_parser(prog_name)
        parser.add_argument("-o", "--output", metavar="FILE", required=True, help="write the capture there")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Capture and write."""
        procedure = procedures.named(parsed_args.procedure or "power-loss")
        values = parameters.parse(procedure.name, procedure.parameters, self.given(parsed_args))
        with self.doors(parsed_args, self.settings(parsed_args)) as found:
            captured = planning.capture(procedure, values, found.doors)
            kept = {**captured, "cloud": found.cloud}
            plans.write_json({**kept, "digest": plans.digest_of(kept)}, parsed_args.output)
        told = {
            "file": parsed_args.output,
            "taken_at": captured["taken_at"],
            "servers": len(captured["servers"]),
        }
        self.show(parsed_args, told, f"captured {told['servers']} servers at {told['taken_at']} in {told['file']}")
