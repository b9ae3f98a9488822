"""Commands about the procedures themselves."""

import argparse
from typing import Any

from cliff.lister import Lister

from stackmend.commands.base import Document, Operator
from stackmend.engine import procedures


class ProcedureList(Operator, Lister):
    """Every procedure that is installed."""

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run it; returns the exit code."""
        return int(Lister.run(self, parsed_args))

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Columns and rows."""
        found = sorted(procedures.catalogue().values(), key=lambda item: item.name)
        return ("Procedure", "Version", "Summary"), [(item.name, item.version, item.summary) for item in found]


class ProcedureShow(Document):
    """A procedure: what it does, from which guide, its stages and parameters."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which one."""
        parser = super().get_parser(prog_name)
        parser.add_argument("procedure", metavar="PROCEDURE", help="its name")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Describe it."""
        found = procedures.named(parsed_args.procedure)
        data = {
            "procedure": found.name,
            "version": found.version,
            "summary": found.summary,
            "guide": found.guide,
            "stages": [{"name": stage.name, "title": stage.title, "gate": stage.gate} for stage in found.stages],
            "parameters": [
                {
                    "name": item.name,
                    "kind": item.kind.__name__,
                    "default": item.default,
                    "many": item.many,
                    "help": item.help,
                }
                for item in found.parameters
            ],
        }
        lines = [
            f"{found.name} (version {found.version}): {found.summary}",
            f"from: {found.guide}",
            "",
            "stages",
        ]
        lines += [f"  {stage.name}: {stage.title}" for stage in found.stages]
        lines += ["", "parameters"]
        lines += [
            f"  --{item.name.replace('_', '-'):<18} {item.help} (default {item.default})" for item in found.parameters
        ]
        self.show(parsed_args, data, "\n".join(lines))
