"""The command ``stackmend``: a cliff application that starts without a cloud, and loads no command but the one typed.

An operator types `stackmend status` again and again: what that does not need is not imported (cliff's own manager
imports every command, and its help makes one of each).
"""

import ast
import importlib.metadata
import importlib.util
import pathlib
import sys
from typing import Any

from cliff.app import App
from cliff.command import Command
from cliff.commandmanager import CommandManager
from cliff.help import HelpExit

from stackmend import __version__
from stackmend.engine.garbage import no_walks


class Commands(CommandManager):
    """The commands that setup.cfg names, imported when they are typed."""

    def load_commands(self, namespace: str) -> None:
        """Know their names."""
        self.group_list.append(namespace)
        for entry_point in importlib.metadata.distribution("stackmend").entry_points.select(group=namespace):
            self.commands[entry_point.name.replace("_", " ")] = entry_point

    @no_walks()
    def find_command(self, argv: list[str]) -> tuple[type[Command], str, list[str]]:
        """Import the one that was typed. Nothing that is imported is garbage."""
        return super().find_command(argv)

    def summaries(self) -> list[tuple[str, str]]:
        """Each of them with the first line of its documentation, which is read and not executed."""
        modules: dict[str, ast.Module] = {}
        found = []
        for name, entry_point in sorted(self.commands.items()):
            # `help` and `complete` are cliff's own.
            if isinstance(entry_point, importlib.metadata.EntryPoint):
                if entry_point.module not in modules:
                    modules[entry_point.module] = _read(entry_point.module)
                found.append((name, _first_line(modules[entry_point.module], entry_point.attr)))
        return found


class Shell(App):
    """``stackmend``; the same commands are the OpenStackClient's ``openstack recovery ...``."""

    CONSOLE_MESSAGE_FORMAT = "%(levelname)s: %(message)s"

    def __init__(self) -> None:
        self.commands = Commands("stackmend.commands")
        super().__init__(
            description="OpenStack's recovery procedures as persisted, resumable flows",
            version=__version__,
            command_manager=self.commands,
            deferred_help=True,
        )

    def build_option_parser(self, description: str | None, version: str | None, argparse_kwargs: Any = None) -> Any:
        """The cloud, named the OpenStack way."""
        parser = super().build_option_parser(description, version, argparse_kwargs)
        parser.add_argument("--os-cloud", metavar="NAME", help="cloud in clouds.yaml (default: $OS_CLOUD, or OS_*)")
        parser.add_argument("--os-region-name", metavar="NAME", help="region (default: $OS_REGION_NAME)")
        return parser

    def print_help_if_requested(self) -> None:
        """The options, and every command in one line."""
        if self.options.deferred_help:
            self.parser.print_help(self.stdout)
            lines = [f"  {name:<16}  {summary.rstrip('.')}" for name, summary in self.commands.summaries()]
            self.stdout.write("\n".join(["", "Commands:", *lines, ""]))
            raise HelpExit


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    return int(Shell().run(sys.argv[1:] if argv is None else argv))


def _read(module: str) -> ast.Module:
    """A module's source."""
    spec = importlib.util.find_spec(module)
    return ast.parse(pathlib.Path(str(spec and spec.origin)).read_text(encoding="utf-8"))


def _first_line(module: ast.Module, name: str) -> str:
    found = next(node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name)
    return (ast.get_docstring(found) or "").partition("\n")[0]
