"""Looking at what was ordered, by people, Mistral or alarms."""

import argparse
from collections.abc import Iterator

from stackmend.commands.base import Document, Listing
from stackmend.engine import order_status, orders


class OrderList(Listing):
    """Everything that was ordered, newest first."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Iterator[tuple[object, ...]]]:
        """One row each."""
        with self.store(parsed_args) as store:
            found = orders.orders(store)
        columns = ("Key", "Asked", "For", "By", "At", "State", "Run", "Why")
        rows = (
            (item.key, item.verb, item.procedure, item.asked_by, item.asked_at, item.state, item.run, item.why)
            for item in found
        )
        return columns, rows


class OrderShow(Document):
    """What became of an order."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which one."""
        parser = super().get_parser(prog_name)
        parser.add_argument("key", metavar="KEY", help="the order's key, or its id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Its state, and its run's."""
        with self.store(parsed_args) as store:
            data = order_status.look(store, parsed_args.key)
        self.show(
            parsed_args, data, "\n".join(f"{name:<10} {value}" for name, value in data.items() if value is not None)
        )
