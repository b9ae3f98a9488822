"""Commands that only read the run store: they work while keystone is down."""

import argparse
import pathlib
import time
from typing import Any

from stackmend.commands import text
from stackmend.commands.base import EXIT_CODES, Listing, OnRun
from stackmend.engine import report, status
from stackmend.engine.ownership import living
from stackmend.engine.plan import write_json
from stackmend.errors import BadInput


class Status(OnRun):
    """How a run stands: what is done, what is not, what to type next."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Derive it from the stored atoms."""
        with self.store(parsed_args) as store:
            data = report.status_of(store, store.find(parsed_args.run))
        self.show(parsed_args, data, text.status(data))
        self.exit_code = EXIT_CODES.get(data["state"], 0)


class Watch(OnRun):
    """Follow a run until it ends or nobody works on it any more."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """How often to look."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between two looks")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print a line whenever something has changed."""
        told = ""
        with self.store(parsed_args) as store:
            run_id = store.find(parsed_args.run)
            while True:
                data = report.status_of(store, run_id)
                line = report.summary(data)
                if line != told:
                    self.say(f"{time.strftime('%H:%M:%S')} {line}")
                    told = line
                if data["state"] != status.RUNNING:
                    break
                time.sleep(max(0.1, parsed_args.interval))
        self.show(parsed_args, data, text.status(data))
        self.exit_code = EXIT_CODES.get(data["state"], 0)


class Show(OnRun):
    """A run's plan, with the state and evidence of every step."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """The plan, and what came of it."""
        with self.store(parsed_args) as store:
            run_id = store.find(parsed_args.run)
            plan = store.plan(run_id)
            data = report.report(store, run_id)
        steps = [f"  {step['state']:<12} {step['name']}" for lane in data["lanes"] for step in lane["steps"]]
        self.show(parsed_args, {"plan": plan.to_json(), "report": data}, "\n".join([text.plan(plan), "", *steps]))


class Report(OnRun):
    """What a run did and proved: as text, JSON, or one self-contained HTML page."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Files to write."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--html", metavar="FILE", help="write the page there")
        parser.add_argument("--json", metavar="FILE", help="write the JSON there")
        parser.add_argument("--text", metavar="FILE", help="write the text there")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print it, or write it where asked."""
        # The page alone needs jinja2 and networkx, which take longer to import than all else that is done here.
        from stackmend.engine import html

        with self.store(parsed_args) as store:
            data = report.report(store, store.find(parsed_args.run))
        wanted = [path for path in (parsed_args.html, parsed_args.json, parsed_args.text) if path]
        if parsed_args.html:
            _write(parsed_args.html, html.page(data))
        if parsed_args.json:
            write_json(data, parsed_args.json)
        if parsed_args.text:
            _write(parsed_args.text, text.report(data) + "\n")
        if wanted:
            self.say(f"written: {', '.join(wanted)}")
        else:
            self.show(parsed_args, data, text.report(data))


class ListRuns(Listing):
    """Every run in the store, newest first."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Columns and rows."""
        with self.store(parsed_args) as store:
            rows = [
                (row["id"], row["key"], row["procedure"], _state(row), row["created_at"], row["created_by"])
                for row in store.runs()
            ]
        return ("Run", "Key", "Procedure", "State", "Created", "By"), rows


def _state(row: dict[str, Any]) -> str:
    if row["outcome"]:
        return str(row["outcome"])
    if living(row["owner"], row["lease_until"]):
        return status.RUNNING
    if not row["approved_by"]:
        return status.WAITING_APPROVAL
    return status.INTERRUPTED if row["started_at"] else status.PENDING


def _write(path: str, content: str) -> None:
    try:
        pathlib.Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}") from None
