"""Commands about alarms: what came, what became of it, what a rule would do."""

import argparse
import json
import pathlib
from typing import Any

from stackmend.alarms import configuration, ledger, rules
from stackmend.alarms.alarm import FIRING, Alarm
from stackmend.alarms.ledger import Ledger
from stackmend.commands.base import Document, Listing, Operator
from stackmend.commands.listen import add_rules
from stackmend.engine import clock, order_status
from stackmend.errors import BadInput, UnknownRun

_VERDICTS = [
    *(ledger.UNDECIDED, ledger.WAITING, ledger.HELD, ledger.STARTING, ledger.STARTED, ledger.NO_RULE, ledger.SAME),
    *(ledger.QUIET, ledger.RESOLVED, ledger.REFUSED, ledger.NOTED),
]


class AlarmList(Listing):
    """The alarms that came, newest first, and what became of them."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--verdict", choices=_VERDICTS, help="only those that this became of")
        parser.add_argument("--most", type=int, default=100, metavar="N", help="no more than these (default 100)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Columns and rows."""
        with self.store(parsed_args) as store:
            found = Ledger(store).alarms(parsed_args.verdict, parsed_args.most)
        columns = ("Alarm", "Received", "Source", "Name", "State", "Host", "Verdict", "Why")
        return columns, [
            (row.id, row.received_at, row.source, row.name, row.state, row.host, row.verdict, row.why) for row in found
        ]


class AlarmShow(Document):
    """One alarm: what it said, what became of it, and how it stands with what it started."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which."""
        parser = super().get_parser(prog_name)
        parser.add_argument("alarm", metavar="ALARM", help="its number or its uuid")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Look it up, with its order."""
        with self.store(parsed_args) as store:
            row = Ledger(store).find(parsed_args.alarm)
            data = dict(row._mapping) | {"labels": json.loads(row.labels), "start": json.loads(row.start or "null")}
            try:
                data["order"] = order_status.look(store, row.key) if row.verdict == ledger.STARTED else None
            except UnknownRun:
                # Mistral has it.
                data["order"] = None
        self.show(parsed_args, data, _lines(data))


class AlarmRelease(Operator):
    """Let alarms that a brake holds go on."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which."""
        parser = super().get_parser(prog_name)
        parser.add_argument("alarms", metavar="ALARM", nargs="+", help="their numbers, from `stackmend alarm list`")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """One after the other."""
        with self.store(parsed_args) as store:
            for named in parsed_args.alarms:
                row = Ledger(store).release(named)
                self.say(f"alarm {row.id} is released: a listener starts it")


class AlarmTest(Document):
    """Which rule an alarm matches and what would be started; nothing is stored, nothing is started."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """What would be posted, and where."""
        parser = super().get_parser(prog_name)
        add_rules(parser)
        parser.add_argument("file", metavar="FILE", help="a file with the body that the source would post")
        sources = list(configuration.SOURCES)
        parser.add_argument("--source", required=True, choices=sources, help="who would post it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Read it as the listener would."""
        try:
            from stackmend.alarms.sources import SOURCES
        except ImportError as error:
            raise BadInput(f"alarms are checked with {error.name}: pip install 'stackmend[listen]'") from None
        found = configuration.load(parsed_args.rules)
        alarms = SOURCES[parsed_args.source].read(_body(parsed_args.file), clock.now())
        data = [_told(found.rules, alarm) for alarm in alarms]
        self.show(parsed_args, data, "\n\n".join(map(_lines, data)) or "no alarm is in it")


def _body(file: str) -> Any:
    try:
        return json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{file} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BadInput(f"{file} is not JSON") from None


def _told(known: list[rules.Rule], alarm: Alarm) -> dict[str, Any]:
    """What a listener would make of an alarm, if it were the first one."""
    data: dict[str, Any] = dict(vars(alarm)) | {"rule": None, "key": None, "start": None, "why": None}
    try:
        start = rules.first(known, alarm)
        if start is None:
            told = "no rule is for it" if alarm.state == FIRING else f"it is {alarm.state}: it starts nothing"
            return data | {"why": told}
        key = f"{start.target}/{alarm.at or clock.now()}"
        return data | {"rule": start.rule.name, "key": key, "start": start.order(key), "why": _after(start.rule)}
    except BadInput as error:
        return data | {"why": f"refused: {error}"}


def _after(rule: rules.Rule) -> str:
    wait = f"after {rule.wait:g} s, if it is not over by then" if rule.wait else "at once"
    brake = f", unless {rule.brake['most']} others came within {rule.brake['seconds']:g} s" if rule.brake else ""
    return wait + brake


def _lines(data: dict[str, Any]) -> str:
    width = max(map(len, data))
    shown = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in data.items()}
    return "\n".join(f"{name:<{width}}  {value}" for name, value in shown.items() if value not in (None, ""))
