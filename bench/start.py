"""How long an operator waits for a command to begin: ``python -m bench.start [--write]``."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import Process
from pathlib import Path

PAGE = Path(__file__).parents[1] / "doc" / "bench-start.md"
# What a look at the run store can't do without.
_FLOOR = "import cliff.app, sqlalchemy.dialects.sqlite"
_COMMANDS = {
    **{f"python -c '{code}'": ("-c", code) for code in ("pass", _FLOOR)},
    **{
        f"stackmend {words}": ("-m", "stackmend", *words.split())
        for words in ("--help", "status last", "list", "procedure list", "run --help")
    },
}


@dataclass(frozen=True)
class Begun:
    """One start: milliseconds until its end and of CPU, megabytes at its peak."""

    wall: float
    cpu: float
    resident: float


def main() -> None:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="of each command (default 15)")
    parser.add_argument("--write", action="store_true", help="write the table to doc/bench-start.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = f"sqlite:///{scratch}/runs.sqlite"
        # In another process: what is started counts the memory of whoever starts it.
        made = Process(target=_store_a_run, args=(store,))
        made.start()
        made.join()
        text = page(measured({**os.environ, "STACKMEND_STORE": store}, given.repeats), given.repeats)
    sys.stdout.write(text)
    if given.write:
        PAGE.write_text(text, encoding="utf-8")


def measured(environment: dict[str, str], repeats: int) -> dict[str, list[Begun]]:
    """Each command's starts. All of them in turn, so that other work on the machine burdens them alike."""
    found: dict[str, list[Begun]] = {name: [] for name in _COMMANDS}
    for turn in range(repeats + 1):
        for name, words in _COMMANDS.items():
            begun = _begun([sys.executable, *words], environment)
            # The first one fills the file cache.
            if turn:
                found[name].append(begun)
    return found


def page(found: dict[str, list[Begun]], repeats: int) -> str:
    """The table."""
    head = [
        "# How long a command takes to begin",
        "",
        f"Medians of {repeats}, in milliseconds and megabytes, of commands that have one run of one lane to show: what",
        "is left is the start. The first line is Python itself, the second what a look at the store can't do without.",
        "",
        "    python -m bench.start --write",
        "",
        "| command | until its end | CPU | peak MB |",
        "| --- | ---: | ---: | ---: |",
    ]
    load = f"The machine's load was {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores."
    return "\n".join([*head, *(_line(name, begun) for name, begun in found.items()), "", load, ""])


def _line(name: str, begun: list[Begun]) -> str:
    wall, cpu = (statistics.median(getattr(one, what) for one in begun) for what in ("wall", "cpu"))
    return f"| `{name}` | {wall:.0f} | {cpu:.0f} | {statistics.median(one.resident for one in begun):.0f} |"


def _begun(command: list[str], environment: dict[str, str]) -> Begun:
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    return Begun(1000 * (time.monotonic() - began), 1000 * (used.ru_utime + used.ru_stime), used.ru_maxrss / 1024)


def _store_a_run(store: str) -> None:
    from stackmend.engine import clock
    from stackmend.engine.plan import Lane, Plan, PlannedStep, Stage
    from stackmend.engine.store import Store

    lane = Lane("server:one", "one", "recover", {}, [PlannedStep("server.reboot:one", "reboot it, once")])
    stages = [Stage("recover", "servers come back")]
    plan = Plan("power-loss", "1", {}, clock.now(), "bench", {}, {}, stages, [lane], [])
    with closing(Store(store)) as opened:
        opened.create(plan.frozen(), "one")


if __name__ == "__main__":
    main()
