"""What all commands share: their options, one sentence for an error, and -f json."""

import argparse
import contextlib
import importlib.metadata
import json
import logging
import sys
import urllib.parse
from collections.abc import Iterator
from typing import Any

from cliff.command import Command
from cliff.formatters.base import ListFormatter
from cliff.lister import Lister
from stevedore.extension import Extension, ExtensionManager

from stackmend import settings as settings_module
from stackmend.engine import status
from stackmend.engine.store import Store
from stackmend.errors import BadInput, StackmendError
from stackmend.settings import Settings

_TALKATIVE = (
    *("taskflow", "oslo_utils", "keystoneauth", "openstack", "urllib3", "paramiko", "stevedore", "asyncio"),
    "sqlalchemy",
)
EXIT_DONE, EXIT_EXCEPTIONS, EXIT_INTERRUPTED = 0, 3, 130
EXIT_CODES = {
    status.DONE: EXIT_DONE,
    status.REVERTED: EXIT_DONE,
    status.DONE_WITH_EXCEPTIONS: EXIT_EXCEPTIONS,
    status.NEEDS_HANDS: 4,
    status.ABANDONED: EXIT_EXCEPTIONS,
    status.WAITING_APPROVAL: 6,
    status.WAITING_OPERATOR: 6,
    status.RUNNING: EXIT_DONE,
    status.PENDING: EXIT_INTERRUPTED,
    status.INTERRUPTED: EXIT_INTERRUPTED,
    None: EXIT_INTERRUPTED,
}


class Operator(Command):
    """A command for operators: errors are one sentence on stderr and a documented exit code.

    ``auth_required = False``: the OpenStackClient need not sign in for it, so that it works while keystone is down.
    """

    auth_required = False
    exit_code = EXIT_DONE

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options that every command has."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--config", metavar="FILE", help="settings file (default: the usual places)")
        parser.add_argument(
            "--store",
            metavar="URL",
            help="run store, without a password (default: a file in the user's state directory)",
        )
        return parser

    def get_epilog(self) -> str:
        """None: cliff would look through everything that is installed for whose command this is."""
        return ""

    def _load_hooks(self) -> None:
        # As the epilog: cliff would look through all that is installed for what hooks on, which takes 0.1 s.
        self._hooks = []

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run it; returns the exit code."""
        self._quieten()
        try:
            _check_text(parsed_args)
            self.take_action(parsed_args)
        except StackmendError as error:
            self.refuse(error)
            return error.exit_code
        except BrokenPipeError:
            sys.stderr.close()
        return self.exit_code

    def _quieten(self) -> None:
        """Our own words only, unless more is asked for: the libraries log what steps already say."""
        if self.app.options.verbose_level < 2:
            for name in _TALKATIVE:
                logging.getLogger(name).setLevel(logging.CRITICAL)

    def say(self, text: str) -> None:
        """Tell the operator something that is not the command's output."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def refuse(self, error: StackmendError) -> None:
        """Tell the operator of an error, on one line: a name that it quotes may hold ends of lines, and worse."""
        self.say("stackmend: " + "".join(sign if sign.isprintable() else " " for sign in str(error)))

    def settings(self, parsed_args: argparse.Namespace) -> Settings:
        """The settings, with what the command line says above them."""
        found = settings_module.load(parsed_args.config)
        if parsed_args.store:
            no_password("--store", parsed_args.store, "as `store` into the settings file, or into $STACKMEND_STORE")
            found = settings_module.replace(found, store=parsed_args.store)
        return found

    @contextlib.contextmanager
    def store(self, parsed_args: argparse.Namespace) -> Iterator[Store]:
        """The run store, closed again."""
        store = Store(self.settings(parsed_args).store_url)
        try:
            yield store
        finally:
            store.close()


class Document(Operator):
    """A command that prints one document: as text for people, or as JSON or YAML."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The output format."""
        parser = super().get_parser(prog_name)
        parser.add_argument("-f", "--format", choices=["text", "json", "yaml"], default="text", help="output format")
        return parser

    def show(self, parsed_args: argparse.Namespace, data: Any, text: str) -> None:
        """Print ``data`` in the format asked for, or ``text``."""
        if parsed_args.format == "json":
            text = json.dumps(data, indent=1, ensure_ascii=False)
        elif parsed_args.format == "yaml":
            import yaml

            text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True).rstrip()
        self.app.stdout.write(text + "\n")


class Listing(Operator, Lister):
    """A command that prints rows, in cliff's formats."""

    def _load_formatter_plugins(self) -> ExtensionManager[ListFormatter]:
        # As the hooks: those that cliff itself brings, and no search for more.
        brought = importlib.metadata.distribution("cliff").entry_points.select(group=self.formatter_namespace)
        kinds = {point: point.load() for point in brought}
        return ExtensionManager.make_test_instance(
            [Extension(point.name, point, kind, kind()) for point, kind in kinds.items()]
        )

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run it; returns the exit code."""
        try:
            return int(Lister.run(self, parsed_args))
        except StackmendError as error:
            self.refuse(error)
            return error.exit_code


class OnRun(Document):
    """A command about one run."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which run."""
        parser = super().get_parser(prog_name)
        parser.add_argument("run", metavar="RUN", help="its id, the beginning of it, its key, or `last`")
        return parser


def _check_text(parsed_args: argparse.Namespace) -> None:
    """Raise BadInput for a word that is not text: nothing of it could be stored or sent."""
    for given in vars(parsed_args).values():
        for word in given if isinstance(given, list) else [given]:
            if isinstance(word, str) and not word.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in word):
                raise BadInput(f"the word {word!a} is not text in UTF-8: type it in a terminal that is")


def no_password(option: str, url: str, instead: str) -> None:
    """Raise BadInput for a database URL with a password: what is typed, every user of the machine can see."""
    try:
        parsed = urllib.parse.urlsplit(url)
    except ValueError:
        return
    if parsed.password or {"password", "passwd"} & set(urllib.parse.parse_qs(parsed.query)):
        raise BadInput(
            f"{option} has a password in it, which everybody on this machine can see: write the URL {instead}"
        )


def pairs(given: list[str] | None, option: str) -> dict[str, Any]:
    """NAME=VALUE arguments as a mapping; a name given twice becomes a list. Raises BadInput."""
    found: dict[str, Any] = {}
    for item in given or []:
        name, sign, value = item.partition("=")
        if not sign or not name:
            raise BadInput(f"{option} takes NAME=VALUE, not {item!r}")
        name = name.replace("-", "_")
        found[name] = (
            [*found[name], value]
            if isinstance(found.get(name), list)
            else ([found[name], value] if name in found else value)
        )
    return found
