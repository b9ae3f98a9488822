"""The command ``stackmend``: a cliff application that starts without a cloud."""

import sys
from typing import Any

from cliff.app import App
from cliff.commandmanager import CommandManager

from stackmend import __version__


class Shell(App):
    """``stackmend``; the same commands are the OpenStackClient's ``openstack recovery ...``."""

    CONSOLE_MESSAGE_FORMAT = "%(levelname)s: %(message)s"

    def __init__(self) -> None:
        super().__init__(
            description="OpenStack's recovery procedures as persisted, resumable flows",
            version=__version__,
            command_manager=CommandManager("stackmend.commands"),
            deferred_help=True,
        )

    def build_option_parser(self, description: str | None, version: str | None, argparse_kwargs: Any = None) -> Any:
        """The cloud, named the OpenStack way."""
        parser = super().build_option_parser(description, version, argparse_kwargs)
        parser.add_argument("--os-cloud", metavar="NAME", help="cloud in clouds.yaml (default: $OS_CLOUD, or OS_*)")
        parser.add_argument("--os-region-name", metavar="NAME", help="region (default: $OS_REGION_NAME)")
        return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    return int(Shell().run(sys.argv[1:] if argv is None else argv))
