"""How much of the matrix is played, and the page that tells what it came to.

`make test` plays a part of it; `make matrix` plays all of it and writes doc/crash-matrix.md.
"""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

# One of so many instants, calls, ... is played; 1 is the whole matrix.
EVERY = int(os.environ.get("STACKMEND_TEST_EVERY", "37"))
WHOLE = EVERY == 1
# What a test has to play is dealt to so many tests, which run beside each other.
HANDS = range(6 if WHOLE else 1)
# The whole matrix is another one each time; `make test` is always the same.
SEED = int(os.environ.get("STACKMEND_TEST_SEED") or (random.randrange(10_000) if WHOLE else 1))
# Where the page is to be written; nowhere, unless `make matrix` says so.
PAGE = os.environ.get("STACKMEND_MATRIX_PAGE", "")

Record = Callable[..., None]
_FINDINGS = Path(__file__).with_name("findings.md")
_MARK = "matrix"


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Record:
    """Notes for the page: ``record(part, row, column=number, ...)``; numbers of the same row and column add up."""

    def note(part: str, row: str, **columns: Any) -> None:
        record_property(_MARK, [part, row, columns])

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Write the page, if it is wanted and nothing failed; say the seed in any case."""
    terminalreporter.write_line(f"matrix: one of {EVERY}; STACKMEND_TEST_SEED={SEED}")
    if PAGE and exitstatus == 0:
        Path(PAGE).write_text(page(terminalreporter.stats.get("passed", []), config.args), encoding="utf-8")


def page(reports: Iterable[pytest.TestReport], played: Iterable[str]) -> str:
    """The page's text, from what the tests noted; ``played``: which files or directories of tests."""
    parts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    seconds = 0.0
    for report in reports:
        seconds += report.duration
        for name, noted in report.user_properties:
            if name == _MARK:
                part, row, columns = noted
                parts[part][row].update(columns)
    every = "every one" if WHOLE else f"one of {EVERY}"
    told = [_HEAD.format(seed=SEED, minutes=seconds / 60, every=every, played=", ".join(f"`{one}`" for one in played))]
    for part, rows in sorted(parts.items()):
        told += ["", f"## {part.capitalize()}", "", *_table(rows)]
    return "\n".join([*told, "", _FINDINGS.read_text(encoding="utf-8")])


def _table(rows: dict[str, Counter[str]]) -> Iterable[str]:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    yield f"| | {' | '.join(columns)} |"
    yield f"| --- | {' | '.join('---:' for _ in columns)} |"
    for title, row in sorted(rows.items()):
        yield f"| {title} | {' | '.join(str(row[name]) for name in columns)} |"
    total = [sum(row[name] for row in rows.values()) for name in columns]
    yield f"| **together** | {' | '.join(f'**{number}**' for number in total)} |"


_HEAD = """# The crash matrix

Written by the tests themselves (`make matrix`): {played}; {every} of the points there was played, in {minutes:.0f}
minutes of one worker, with seed {seed}. All of them passed, or this page would not have been written.

Each number counts points at which a procedure was interrupted on the simulated cloud (or on the real OpenStack, where
that is named), in a process of its own that the kernel kills. After each of them the run was resumed by a new process,
and compared with one that nobody had interrupted: the cloud's rows, the guests that run, the effects counted in the
cloud's journal, the finished steps, the locks. *Effects*: before a call, statement, command or fence, after it with its
answer lost, and after it with its answer delivered. *Writes*: before and after each commit to the run store.
*Waits*: inside each."""
