"""The engine's benchmark: ``python -m bench.engine [--repeats N] [--write]``, from a checkout.

Each case is measured in a fresh process, ``--repeats`` times, and its medians are shown; all of it in one
run, so that the machine is the same. CPU seconds say more than wall time on a machine that does other work.
"""

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

from bench.measured import Measured

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "doc" / "bench-engine.md"


@dataclass(frozen=True)
class Case:
    """A row of the table; ``tenth`` names the row with a tenth of its lanes."""

    title: str
    name: str
    size: int
    tenth: str = ""
    prepared: bool = False


CASES = (
    *(
        Case(f"{lanes:,} lanes of 5 {kind} steps", kind, lanes, f"{lanes // 10:,} lanes of 5 {kind} steps")
        for kind in ("reading", "acting")
        for lanes in (100, 1_000, 10_000)
    ),
    *(Case(f"resume, {lanes:,} lanes, half done", "resuming", lanes, prepared=True) for lanes in (1_000, 5_000)),
    Case("stock TaskFlow, 1,000 tasks in one flow", "unordered", 1_000),
    Case("stock TaskFlow, 200 chains of 5 in one flow", "chains", 1_000),
)


def main() -> None:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each case (default 5)")
    parser.add_argument("--write", action="store_true", help=f"write the table to {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    found = {}
    for case in CASES:
        sys.stderr.write(f"{case.title} ...\n")
        found[case.title] = medians([measure(case) for _ in range(arguments.repeats)])
    lines = table(found)
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.write:
        PAGE.write_text(page(lines, arguments.repeats), encoding="utf-8")


def measure(case: Case) -> Measured:
    """One measurement, in a fresh process and an empty directory."""
    with tempfile.TemporaryDirectory() as directory:
        if case.prepared:
            _run("half-done", case.size, directory)
        return Measured(**json.loads(_run(case.name, case.size, directory)))


def medians(measured: Sequence[Measured]) -> Measured:
    """The median of each number."""
    return Measured(*(statistics.median(getattr(one, field.name) for one in measured) for field in fields(Measured)))


def table(found: dict[str, Measured]) -> list[str]:
    """The table's lines, in Markdown."""
    head = ["case", "CPU ms a task", "CPU s", "of ten times fewer lanes", "plan, CPU s", "first step, s", "peak MB"]
    rows = [_row(case, found) for case in CASES]
    return [_line(head), _line(["---", *["---:"] * (len(head) - 1)]), *map(_line, rows)]


def page(lines: list[str], repeats: int) -> str:
    """The page of the documentation that holds the table."""
    software = ", ".join(
        [f"Python {platform.python_version()}"]
        + [f"{name} {version(name)}" for name in ("taskflow", "SQLAlchemy")]
        + [f"SQLite {sqlite3.sqlite_version}"]
    )
    return _PAGE.format(table="\n".join(lines), repeats=repeats, machine=_machine(), software=software)


def _row(case: Case, found: dict[str, Measured]) -> list[str]:
    one = found[case.title]
    tenth = found.get(case.tenth)
    return [
        case.title,
        f"{one.per_task:.2f}",
        f"{one.cpu:.2f}",
        f"x {one.cpu / tenth.cpu:.1f}" if tenth else "",
        f"{one.plan_cpu:.2f}" if one.plan_cpu else "",
        f"{one.first_step:.2f}" if one.first_step else "",
        f"{one.resident:.0f}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _run(name: str, size: int, directory: str) -> str:
    command = [sys.executable, "-m", "bench.case", name, str(size), directory]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory, {platform.system()}"


_PAGE = """\
# What the engine costs

A step of a recovery waits seconds for the cloud; what the engine adds to it should not be noticed. Here the
steps do nothing, so that the engine's own cost is all there is: TaskFlow's engine, the journal, the store.

{table}

* A *reading* step looks and is done. An *acting* one has its intent on disk before it acts, the service's
  answer right after, and its result before the next step begins.
* *CPU* is user and system time of all threads from the run's beginning to its end, the creation of lanes
  included; *plan* comes before it: making, freezing and storing the plan.
* *First step* is the time from opening the store of a half-done run to a step's first look at the cloud; the
  row's other numbers are of the steps that were left.
* *Peak MB* is of the whole process, every procedure and client library loaded.
* The store is a SQLite file in WAL with `synchronous=FULL`. Stock TaskFlow runs with its serial engine and
  its own SQLite backend.

Medians of {repeats}, each in a fresh process, all in one run of

```console
$ python -m bench.engine --write
```

on a machine with {machine}; other work ran beside it, so CPU time says more than the clock.
{software}.
"""

if __name__ == "__main__":
    main()
