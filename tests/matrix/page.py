"""How much of the matrix is played, and the page that tells what it came to.

`make test` plays a part of it; `make matrix` plays all of it and writes doc/crash-matrix.md.
"""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from matrix import ledger

# One of so many instants, calls, ... is played; 1 is the whole matrix.
EVERY = int(os.environ.get("STACKMEND_TEST_EVERY", "61"))
WHOLE = EVERY == 1
# What a test has to play is dealt to so many tests, which run beside each other.
HANDS = range(6 if WHOLE else 1)
# The whole matrix is another one each time; `make test` is always the same.
SEED = int(os.environ.get("STACKMEND_TEST_SEED") or (random.randrange(10_000) if WHOLE else 1))
# The same for all who play a part of it.
os.environ["STACKMEND_TEST_SEED"] = str(SEED)
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


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test that has passed need not be played again."""
    ledger.enter(report, SEED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Write the page, if it is wanted and nothing failed; say the seed in any case."""
    terminalreporter.write_line(f"matrix: one of {EVERY}; STACKMEND_TEST_SEED={SEED}")
    if PAGE and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        Path(PAGE).write_text(page(ledger.entries(), ledger.missing()), encoding="utf-8")


def page(passed: Sequence[ledger.Entry], missing: Sequence[str]) -> str:
    """The page's text, from what the tests that have passed noted; ``missing``: those that have not yet."""
    parts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for entry in passed:
        for name, noted in entry.noted:
            if name == _MARK:
                part, row, columns = noted
                parts[part][row].update(columns)
    every = "each" if WHOLE else f"one of {EVERY}"
    told = [
        _HEAD.format(
            every=every,
            tests=len(passed),
            minutes=sum(entry.seconds for entry in passed) / 60,
            seeds=", ".join(sorted({str(entry.seed) for entry in passed})),
            commits=", ".join(dict.fromkeys(entry.commit for entry in passed)),
        )
    ]
    if missing:
        told += ["", f"**Not the whole of it**: {len(missing)} of its tests have not been played here:", ""]
        told += _briefly(missing)
    for part, rows in sorted(parts.items()):
        told += ["", f"## {part.capitalize()}", "", *_table(rows)]
    return "\n".join([*told, "", _FINDINGS.read_text(encoding="utf-8")])


def _briefly(tests: Iterable[str]) -> Iterable[str]:
    by_function: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        function, _, played = test.partition("[")
        by_function[function].append(played.removesuffix("]"))
    for function, played in by_function.items():
        yield f"- `{function}`" + (f": {', '.join(played)}" if any(played) else "")


def _table(rows: dict[str, Counter[str]]) -> Iterable[str]:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    yield f"| | {' | '.join(columns)} |"
    yield f"| --- | {' | '.join('---:' for _ in columns)} |"
    for title, row in sorted(rows.items()):
        yield f"| {title} | {' | '.join(str(row[name]) for name in columns)} |"
    total = [sum(row[name] for row in rows.values()) for name in columns]
    yield f"| **together** | {' | '.join(f'**{number}**' for number in total)} |"


_HEAD = """# The crash matrix

Written by the tests themselves (`make matrix`): {tests} tests, which played {every} of their points, have passed. That
took {minutes:.0f} minutes of one worker. Seeds: {seeds}. Commits: {commits}.

Each number counts points at which a procedure was interrupted on the simulated cloud (or on the real OpenStack, where
that is named), in a process of its own that the kernel kills. After each of them the run was resumed by a new process,
and compared with one that nobody had interrupted: the cloud's rows, the guests that run, the effects counted in the
cloud's journal, the finished steps, the locks. *Effects*: before a call, statement, command or fence, after it with its
answer lost, and after it with its answer delivered. *Writes*: before and after each commit to the run store.
*Waits*: inside each."""
