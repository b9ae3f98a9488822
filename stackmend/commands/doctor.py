"""The command that tries, before it is needed, whether a recovery would find all it needs."""

import argparse
import functools
from collections.abc import Callable
from typing import Any

from stackmend.commands.cloudy import OnCloud
from stackmend.doors import Opened
from stackmend.errors import BadInput, NeedsHands, StackmendError
from stackmend.tasks import sight
from stackmend.tasks.readiness import not_ready

_TABLES = {
    "nova": ("instances", "block_device_mapping"),
    "cinder": ("volumes",),
    "neutron": ("ml2_port_bindings",),
}


class Doctor(OnCloud):
    """Check the run store, the cloud, your rights, and the databases. Changes nothing."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Every check, one line each; exits with the first failure's code."""
        found: list[dict[str, Any]] = []
        settings = self.settings(parsed_args)
        self._check(found, "run store", lambda: self._store(parsed_args))
        try:
            with self.doors(parsed_args, settings) as opened:
                self._ask(found, opened)
        except StackmendError as error:
            self._note(found, "cloud", error)
        lines = [f"{'ok' if item['ok'] else 'FAILED':<7} {item['check']}: {item['found']}" for item in found]
        self.show(parsed_args, found, "\n".join(lines))

    def _store(self, parsed_args: argparse.Namespace) -> str:
        with self.store(parsed_args) as store:
            return f"{store.shown}, {len(store.runs())} runs"

    def _ask(self, found: list[dict[str, Any]], opened: Opened) -> None:
        cloud, databases = opened.doors["cloud"], opened.doors["databases"]
        self._check(found, "cloud", lambda: f"{opened.cloud.get('auth_url')} as {opened.cloud.get('user_name')}")
        for name, check in {"rights": sight.servers, "volumes": sight.volumes, "ports": sight.ports}.items():
            self._check(found, name, functools.partial(check, cloud))
        self._check(found, "services", lambda: _services(cloud))
        for name, database in databases.items():
            self._check(found, f"database {name}", functools.partial(_rows, name, database))

    def _check(self, found: list[dict[str, Any]], name: str, check: Callable[[], str]) -> None:
        try:
            found.append({"check": name, "ok": True, "found": check()})
        except StackmendError as error:
            self._note(found, name, error)

    def _note(self, found: list[dict[str, Any]], name: str, error: StackmendError) -> None:
        found.append({"check": name, "ok": False, "found": str(error)})
        self.exit_code = self.exit_code or error.exit_code


def _services(cloud: Any) -> str:
    missing = not_ready(cloud, set())[0]
    if missing:
        raise NeedsHands("; ".join(missing))
    return "all up"


def _rows(name: str, database: Any) -> str:
    missing = [table for table in _TABLES[name] if not database.has(table)]
    if missing:
        told = ", ".join(missing)
        raise BadInput(f"it has no table {told} that this account may read: is it {name}'s, and was SELECT granted?")
    return "its schema is known"
