"""Commands about the lab: a real OpenStack on loopback, to try procedures on and to break."""

import argparse
import os
import pathlib
import shlex
from typing import Any

from stackmend.commands.base import Document, Listing, Operator
from stackmend.errors import BadInput
from stackmend.lab.openstack import cache
from stackmend.lab.openstack.control import OpenStackLab
from stackmend.lab.openstack.releases import NEWEST, RELEASES
from stackmend.lab.openstack.services import EXTRA_NAMES
from stackmend.lab.openstack.services.nova import COMPUTE
from stackmend.lab.openstack.site import DEFAULT_PORT_BASE

_VERBS = ("kill", "start", "partition", "join", "power-off", "power-on")


class OnLab(Operator):
    """A command about one lab; it knows no runs and no settings."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which lab."""
        parser: argparse.ArgumentParser = super(Operator, self).get_parser(prog_name)
        where = "the lab's directory (default: $STACKMEND_LAB_DIRECTORY, or one in the user's state directory)"
        parser.add_argument("--directory", metavar="DIR", type=pathlib.Path, help=where)
        return parser

    def lab(self, parsed_args: argparse.Namespace) -> OpenStackLab:
        """The lab in that directory."""
        return OpenStackLab(parsed_args.directory, self.say)


def _variables(given: list[str]) -> dict[str, str]:
    """NAME=VALUE as a mapping. Raises BadInput."""
    for item in given:
        if not item.partition("=")[0] or "=" not in item:
            raise BadInput(f"--env takes NAME=VALUE, not {item!r}")
    return dict(item.split("=", 1) for item in given)


class Up(OnLab):
    """Bring the lab up, a clean one at first; returns when every service works."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """What a new lab is made of."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--release", choices=list(RELEASES), help=f"OpenStack's release (default: {NEWEST})")
        extras = f"beyond the core: {', '.join(EXTRA_NAMES)}, with commas between, or all, or none (default: as before)"
        parser.add_argument("--with", dest="extras", metavar="SERVICES", help=extras)
        ports = f"the first of a hundred ports (default: {DEFAULT_PORT_BASE})"
        parser.add_argument("--port-base", metavar="PORT", type=int, default=0, help=ports)
        variable = "a variable of the environment of the extra services' processes (repeatable; default: as before)"
        parser.add_argument("--env", metavar="NAME=VALUE", action="append", help=variable)
        kept = "what is built once is kept there (default: in the user's cache directory)"
        parser.add_argument("--cache", metavar="DIR", type=pathlib.Path, help=kept)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do it."""
        asked = None if parsed_args.extras is None else parsed_args.extras.split(",")
        lab = self.lab(parsed_args).up(
            release=parsed_args.release or "",
            extras=None if asked is None else [name for name in asked if name != "none"],
            port_base=parsed_args.port_base,
            cached=parsed_args.cache,
            variables=None if parsed_args.env is None else _variables(parsed_args.env),
        )
        self.say(f"the lab in {lab.directory} is up; `eval $(stackmend lab env)` turns this shell to it")


class Down(OnLab):
    """Stop every process of the lab; its data stays, unless it is purged."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """How much goes."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--purge", action="store_true", help="remove the lab's files too")
        everything = "and what was built for every lab that uses this cache"
        parser.add_argument("--purge-cache", action="store_true", help=everything)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do it."""
        lab = self.lab(parsed_args)
        parts = lab.cache
        lab.down(purge=parsed_args.purge or parsed_args.purge_cache)
        if parsed_args.purge_cache:
            cache.Cache(parts, self.say).purge()


class Reset(OnLab):
    """Put the clean state back: no server, no volume, no fault, every service at work."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do it."""
        self.lab(parsed_args).reset()


class Status(OnLab, Listing):
    """Every process of the lab, and the L2 agent of each host."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Columns and rows."""
        columns = ("name", "state", "pid", "memory", "port")
        rows = self.lab(parsed_args).status()
        return ("Process", "State", "PID", "MiB", "Port"), [tuple(row[name] for name in columns) for row in rows]


class Env(OnLab, Document):
    """What a client needs: as lines for `eval` in a shell, or with -f all that is known of the lab."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """As whom."""
        parser = super().get_parser(prog_name)
        parser.add_argument("-f", "--format", choices=["text", "json", "yaml"], default="text", help="output format")
        parser.add_argument("--cloud", choices=["lab", "lab-member"], default="lab", help="administrator, or member")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print it."""
        lab = self.lab(parsed_args)
        ours = {name: value for name, value in lab.environment(parsed_args.cloud).items() if name.startswith("OS_")}
        lines = [f"unset {name}" for name in os.environ if name.startswith("OS_") and name not in ours]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in ours.items()]
        self.show(parsed_args, lab.description, "\n".join(lines))


class Host(OnLab):
    """Do something to a host: a process is killed or started, the host is cut off, or its power."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """What to which."""
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST", help="a compute host, or the controller")
        parser.add_argument("do", metavar="VERB", choices=_VERBS, help=f"one of {', '.join(_VERBS)}")
        which = f"the process to kill or start (default: {COMPUTE})"
        parser.add_argument("--binary", metavar="NAME", default=COMPUTE, help=which)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do it."""
        self.lab(parsed_args).host(parsed_args.host, parsed_args.do, parsed_args.binary)


class Service(OnLab):
    """Stop one API, the database or the message bus, or let it work again."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which, and whether."""
        parser = super().get_parser(prog_name)
        parser.add_argument("service", metavar="SERVICE", help="identity, compute, volume, ..., database or messages")
        parser.add_argument("state", metavar="STATE", choices=["up", "down"], help="up or down")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do it."""
        self.lab(parsed_args).service(parsed_args.service, up=parsed_args.state == "up")


class Slow(OnLab):
    """Let an API answer late."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which, and how late."""
        parser = super().get_parser(prog_name)
        parser.add_argument("service", metavar="SERVICE", help="identity, compute, volume, ...")
        parser.add_argument("seconds", metavar="SECONDS", type=float, help="what each call waits; 0 ends it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do it."""
        if parsed_args.seconds < 0:
            raise BadInput(f"an API can't answer {parsed_args.seconds:g} s late")
        self.lab(parsed_args).slow(parsed_args.service, parsed_args.seconds)


class PowerCut(OnLab):
    """Cut the power of hosts, or of everything at once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whose."""
        parser = super().get_parser(prog_name)
        parser.add_argument("hosts", metavar="HOST", nargs="*", help="compute hosts (none: everything)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do it."""
        self.lab(parsed_args).power_cut(parsed_args.hosts)


class PowerOn(PowerCut):
    """Give power to hosts, or to everything; guests don't run by that."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whose, and who not."""
        parser = super().get_parser(prog_name)
        away = "a service, host, process or PROCESS@HOST that stays away (may be repeated)"
        parser.add_argument("--without", metavar="NAME", action="append", default=[], help=away)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do it."""
        self.lab(parsed_args).power_on(hosts=parsed_args.hosts, without=parsed_args.without)
