"""The command that shows it all on a simulated cloud."""

import argparse
import pathlib

from stackmend.commands.base import Operator
from stackmend.errors import BadInput


class Demo(Operator):
    """A simulated cloud loses its power and is recovered, through a kill in the middle."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Where its files go."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--directory", default="demo", metavar="DIR", help="for its files (default: ./demo)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run it; exits 0 only if the cloud ended as it was captured."""
        try:
            from stackmend.lab.demo import Demo as Rehearsal
        except ImportError as error:
            raise BadInput(f"the simulated cloud needs {error.name}: pip install 'stackmend[lab]'") from None
        if not Rehearsal(pathlib.Path(parsed_args.directory), self.say).run():
            self.exit_code = 1
