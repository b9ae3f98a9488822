"""What really happened in the cloud, in order; and, apart from it, every API call."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stackmend.lab.simulated.store import Database


class Journal:
    """Effects and calls in memory, and line by line in ``path``.

    An effect: {seq, time, kind, target, request_id, global_request_id, ...details}.
    Rows that another process changed appear as effects of kind ``sql.update``, ``sql.insert`` or
    ``sql.delete`` with database, table and {column: [old, new]}, before any later effect of ours.
    """

    def __init__(self, path: Path, databases: dict[str, Database]) -> None:
        self._databases = databases
        self._file = path.open("a", buffering=1)
        self._effects: list[dict[str, Any]] = []
        self._calls: list[dict[str, Any]] = []
        self._seq = 0

    def effect(self, kind: str, target: str, **details: Any) -> None:
        """Note one effect of ``kind`` on the thing with id ``target``."""
        self.collect()
        self._append(self._effects, {"kind": kind, "target": target, **details})

    def call(self, **details: Any) -> None:
        """Note one API call that was answered, or cut."""
        self._append(self._calls, details)

    def effects(self, kinds: Iterable[str] = (), since: int = 0) -> list[dict[str, Any]]:
        """Effects above sequence ``since`` whose kind starts with one of ``kinds`` (all when empty)."""
        self.collect()
        prefixes = tuple(kinds) or ("",)
        return [e for e in self._effects if e["seq"] > since and e["kind"].startswith(prefixes)]

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """API calls with a sequence above ``since``."""
        return [c for c in self._calls if c["seq"] > since]

    def clear(self) -> None:
        """Forget what is in memory; the file keeps everything and the sequence goes on."""
        self.collect()
        self._effects.clear()
        self._calls.clear()

    def collect(self) -> None:
        """Note what other processes changed in the rows up to now."""
        for name, database in self._databases.items():
            for change in database.outside_changes():
                kind = f"sql.{change.pop('op').lower()}"
                self._append(self._effects, {"kind": kind, "target": change.pop("key"), "database": name, **change})

    def _append(self, log: list[dict[str, Any]], entry: dict[str, Any]) -> None:
        self._seq += 1
        entry = {"seq": self._seq, "time": time.time(), **entry}
        log.append(entry)
        self._file.write(json.dumps(entry) + "\n")
