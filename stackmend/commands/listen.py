"""The command that takes alarms."""

import argparse
import gc

from stackmend import __version__
from stackmend.alarms import configuration
from stackmend.alarms.rules import MISTRAL
from stackmend.clients.mistral import Mistral
from stackmend.clients.signin import Timeouts, cloud_region
from stackmend.commands.base import Operator
from stackmend.errors import BadInput

# The listener asks again by itself, and of another alarm meanwhile.
_ONCE = Timeouts(read=30.0, patience=0.0)


class Listen(Operator):
    """Take alarms over HTTP, store them, and order what the rules say; `stackmend worker` carries it out."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The rules."""
        parser = super().get_parser(prog_name)
        add_rules(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Listen until SIGTERM."""
        try:
            from stackmend.alarms.server import Listener
        except ImportError as error:
            raise BadInput(f"listening needs {error.name}: pip install 'stackmend[listen]'") from None
        found = configuration.load(parsed_args.rules)
        execute = self._mistral().execute if any(rule.start == MISTRAL for rule in found.rules) else None
        with self.store(parsed_args) as store:
            listener = Listener(found, store, self.say, execute, __version__)
            host = found.address[0]
            self.say(f"listening at {host}:{listener.port}, with {len(found.rules)} rules; alarms go to {store.shown}")
            # All that is loaded stays: walking it again and again for garbage took a third of a request's time.
            gc.freeze()
            listener.run()
        self.say("stopped: what was accepted is stored")

    def _mistral(self) -> Mistral:
        """Mistral of the cloud that is named the OpenStack way."""
        options = self.app.options
        return Mistral(cloud_region(options.os_cloud, options.os_region_name), _ONCE)


def add_rules(parser: argparse.ArgumentParser) -> None:
    """The option that names the file of rules."""
    where = "the file of rules (default: $STACKMEND_ALARMS, or the usual places)"
    parser.add_argument("--rules", metavar="FILE", help=where)
