"""How long an operator waits for a command to begin: ``python -m bench.start [--write]``."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGE = Path(__file__).parents[1] / "doc" / "bench-start.md"
_COMMANDS = (("--help",), ("status", "last"), ("list",), ("procedure", "list"))


def main() -> None:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="of each command (default 15)")
    parser.add_argument("--write", action="store_true", help="write the table to doc/bench-start.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "XDG_STATE_HOME": scratch}
        empty = measured([sys.executable, "-c", "pass"], environment, given.repeats)
        rows = [
            (" ".join(words), *measured([sys.executable, "-m", "stackmend", *words], environment, given.repeats))
            for words in _COMMANDS
        ]
    text = page([("python -c pass", *empty), *rows], given.repeats)
    sys.stdout.write(text)
    if given.write:
        PAGE.write_text(text, encoding="utf-8")


def measured(command: list[str], environment: dict[str, str], repeats: int) -> tuple[float, float]:
    """Medians, in milliseconds: until it has ended, and of CPU."""
    wall, cpu = [], []
    for _ in range(repeats + 1):
        before, began = os.times(), time.monotonic()
        subprocess.run(command, env=environment, capture_output=True, check=False)
        after = os.times()
        wall.append(1000 * (time.monotonic() - began))
        used = after.children_user + after.children_system
        cpu.append(1000 * (used - before.children_user - before.children_system))
    # The first one fills the file cache.
    return statistics.median(wall[1:]), statistics.median(cpu[1:])


def page(rows: list[tuple[str, float, float]], repeats: int) -> str:
    """The table."""
    lines = [f"| `{name}` | {wall:.0f} | {cpu:.0f} |" for name, wall, cpu in rows]
    head = [
        "# How long a command takes to begin",
        "",
        f"Medians of {repeats}, in milliseconds, of commands that have nothing to show: what is left is the start. The",
        "first line is Python itself.",
        "",
        "    python -m bench.start --write",
        "",
        "| command | until its end | CPU |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*head, *lines, ""])


if __name__ == "__main__":
    main()
