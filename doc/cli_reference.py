"""Write doc/reference/cli.md from the commands themselves: python doc/cli_reference.py."""

import argparse
import importlib.metadata
import inspect
import pathlib
from typing import Any

from cliff.lister import Lister

from stackmend.shell import Shell

PAGE = pathlib.Path(__file__).parent / "reference" / "cli.md"
HEAD = """# Commands

This page is written by `python doc/cli_reference.py`; a test compares it with the commands.

Each command is there twice: as `stackmend COMMAND`, and in the OpenStackClient as `openstack recovery COMMAND`
(all but `demo`, `lab`, `listen`, `order` and `worker`). `stackmend` itself takes
{options}.
"""
PROCEDURES = "parameters of the procedures"
LISTER = "It also takes cliff's options for lists: `-f`, `-c`, `--sort-column` and the rest, see `--help`."


def page() -> str:
    """The whole page."""
    shell = Shell()
    known = [option for action in shell.parser._actions for option in action.option_strings]
    options = ", ".join(f"`{option}`" for option in known if option.startswith("--"))
    points = importlib.metadata.entry_points(group="stackmend.commands")
    commands = sorted((point.name.replace("_", " "), point.load()) for point in points)
    return "\n".join([HEAD.format(options=options), *(_command(name, kind(shell, None)) for name, kind in commands)])


def _command(name: str, command: Any) -> str:
    groups = command.get_parser(f"stackmend {name}")._action_groups
    actions = [action for group in groups for action in group._group_actions if _ours(group, action)]
    words = [_word(item) for item in actions if not item.option_strings]
    lines = [f"## {name}", "", inspect.getdoc(type(command)) or "", "", "```text"]
    lines += [
        " ".join(["stackmend", name, *words, "[options]"]),
        "```",
        "",
        "| argument | what it is |",
        "| --- | --- |",
    ]
    lines += [f"| {_shown(action)} | {_help(action)} |" for action in actions]
    if any(group.title == PROCEDURES for group in groups):
        lines.append("| `--NAME VALUE` | any [parameter of the procedure](../procedures/power-loss.md#parameters) |")
    if isinstance(command, Lister):
        lines += ["", LISTER]
    return "\n".join([*lines, ""])


def _word(action: argparse.Action) -> str:
    """An argument as it is typed: in brackets where it may be left out."""
    marks = {"?": "[{}]", "*": "[{} ...]"}
    return marks.get(str(action.nargs), "{}").format(action.metavar)


def _ours(group: Any, action: argparse.Action) -> bool:
    """Whether an argument is told here: cliff's own are about the look of lists, a procedure's on its page."""
    elsewhere = group.title == PROCEDURES or "format" in (group.title or "").lower()
    return not elsewhere and not isinstance(action, argparse._HelpAction) and action.help != argparse.SUPPRESS


def _shown(action: argparse.Action) -> str:
    value = f" {{{','.join(action.choices)}}}" if action.choices else f" {action.metavar or action.dest.upper()}"
    if action.nargs == 0:
        value = ""
    if not action.option_strings:
        return f"`{action.metavar}`"
    if action.nargs == "?":
        value = f" [{value.strip()}]"
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
