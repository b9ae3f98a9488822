"""What has passed of the whole matrix, kept in a file from one `make matrix` to the next: a test that has is not played
again, so that one that failed and was mended, or a matrix that was ended early, does not begin anew.

Each line is one test: what it noted for the page, how long it took, with which seed and at which commit.
"""

import json
import os
import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from matrix.scenarios import SCENARIOS

# Where it is; nowhere, unless `make matrix` says so.
LEDGER = os.environ.get("STACKMEND_MATRIX_LEDGER", "")
_ALL = Path(f"{LEDGER}.all")
_IN_A_WORKER = "PYTEST_XDIST_WORKER" in os.environ


@dataclass(frozen=True)
class Entry:
    """One test that has passed. ``noted``: pairs of a name and what the test noted under it."""

    test: str
    seconds: float
    seed: int
    commit: str
    noted: list[Any]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Procedure by procedure, and only what has not passed yet."""
    if not LEDGER:
        return
    items.sort(key=lambda item: _procedure(item.nodeid))
    Path(_ALL).write_text("".join(f"{_name(item.nodeid)}\n" for item in items), encoding="utf-8")
    passed = {entry.test for entry in entries()}
    config.hook.pytest_deselected(items=[item for item in items if _name(item.nodeid) in passed])
    items[:] = [item for item in items if _name(item.nodeid) not in passed]


def enter(report: pytest.TestReport, seed: int) -> None:
    """Write down a test that has passed."""
    if not LEDGER or _IN_A_WORKER or report.when != "call" or not report.passed:
        return
    noted = [list(pair) for pair in report.user_properties]
    entry = Entry(_name(report.nodeid), report.duration, seed, _commit(), noted)
    with Path(LEDGER).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(entry)) + "\n")


def entries() -> list[Entry]:
    """All that has passed; of a test that did twice, the last."""
    lines = Path(LEDGER).read_text(encoding="utf-8").splitlines() if Path(LEDGER).exists() else []
    found = [Entry(**json.loads(line)) for line in lines]
    return list({entry.test: entry for entry in found}.values())


def missing() -> list[str]:
    """The tests of the matrix that have not passed."""
    passed = {entry.test for entry in entries()}
    return [test for test in _ALL.read_text(encoding="utf-8").splitlines() if test not in passed]


def _procedure(test: str) -> int:
    """A test's place: as in SCENARIOS, and then those of no procedure."""
    _, _, played = test.partition("[")
    found = [place for place, name in enumerate(SCENARIOS) if name in played]
    return max(found, default=len(SCENARIOS))


def _name(test: str) -> str:
    """A test's id, without the group in which pytest-xdist keeps it."""
    return re.sub(r"@[\w-]+$", "", test)


def _commit() -> str:
    told = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"
