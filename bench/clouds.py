"""How long a cloud is down: ``python -m bench.clouds [--sizes N ...] [--procedures NAME ...] [--write]``.

A simulated cloud of each size is struck and brought back in each way, one after another in one run. Nothing is sped up:
most of the time is waiting, so that some clouds may be played at the same time (``--at-once``).
"""

import argparse
import os
import platform
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.town import CALLS_AT_ONCE, PROCEDURES, Cost, Town, lower_bound
from bench.ways import WAYS

PAGE = Path(__file__).parents[1] / "doc" / "bench-clouds.md"
_SIZES = (100, 1_000, 5_000)
_OURS = "stackmend"
BOUND = "lower bound"
# The bench itself keeps less than so many processes busy for each cloud.
_BUSY = 1.5


@dataclass(frozen=True)
class Row:
    """One line of the table: who brought back how many servers of which cloud, and what it cost."""

    procedure: str
    size: int
    servers: int
    way: str
    cost: Cost


def main() -> None:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.clouds", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="servers (default 100 1000 5000)")
    parser.add_argument("--procedures", nargs="+", choices=PROCEDURES, default=PROCEDURES, help="default: both")
    parser.add_argument("--repeats", type=int, default=1, help="of stackmend's runs (default 1)")
    parser.add_argument("--at-once", type=int, default=1, help="clouds played at the same time (default 1)")
    parser.add_argument("--alone", action="store_true", help="stackmend only, beside the lower bound")
    parser.add_argument("--write", action="store_true", help="write the table to doc/bench-clouds.md")
    given = parser.parse_args()
    ways = [_OURS] if given.alone else list(WAYS)
    with ProcessPoolExecutor(given.at_once) as pool:
        jobs = [
            pool.submit(measured, procedure, size, given.repeats, ways)
            for procedure in given.procedures
            for size in given.sizes
        ]
        rows = [row for job in jobs for row in job.result()]
    lines = table(rows)
    sys.stdout.write("\n".join(lines) + "\n")
    if given.write:
        PAGE.write_text(page(lines, given.repeats, given.at_once), encoding="utf-8")


def measured(procedure: str, size: int, repeats: int, ways: Sequence[str]) -> list[Row]:
    """One cloud, brought back in each way; the lower bound comes first."""
    with Town(procedure, size) as town:
        found = [(BOUND, lower_bound(procedure, town.hosts, len(town.victims)))]
        for way in ways:
            _say(f"{procedure}, {size:,} servers: {way} ...")
            costs = [WAYS[way](town) for _ in range(repeats if way == _OURS else 1)]
            _say("; ".join(f"{cost.wall:.1f} s, CPU {cost.cpu:.1f} s, {cost.resident:.0f} MB" for cost in costs))
            found.append((way, median(costs)))
        return [Row(procedure, size, len(town.victims), way, cost) for way, cost in found]


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each number."""
    methods = sorted({method for cost in costs for method in cost.calls})
    return Cost(
        *(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall",)),
        Counter({name: round(statistics.median(cost.calls[name] for cost in costs)) for name in methods}),
        *(statistics.median(getattr(cost, name) for cost in costs) for name in ("cpu", "resident", "cloud_cpu")),
        costs[0].played,
    )


def table(rows: Sequence[Row]) -> list[str]:
    """The table's lines, in Markdown."""
    head = ["procedure, servers of the cloud (brought back)", "way", "until done, s", "of the bound"]
    head += ["reads", "writes", "CPU, s", "ms a server", "peak MB", "cloud's CPU, s"]
    bounds = {(row.procedure, row.size): row.cost.wall for row in rows if row.way == BOUND}
    lines = [_cells(row, row.cost.wall / bounds[row.procedure, row.size]) for row in rows]
    return [_line(head), _line(["---", "---", *["---:"] * (len(head) - 2)]), *map(_line, lines)]


def page(lines: Sequence[str], repeats: int, at_once: int) -> str:
    """The page of the documentation that holds the table."""
    software = f"Python {platform.python_version()}, taskflow {version('taskflow')}"
    machine = f"{os.cpu_count()} cores ({platform.machine()})"
    load = f"Other work ran beside it: the machine's load was {os.getloadavg()[2]:.1f} at the end."
    given = {
        "repeats": repeats,
        "at_once": at_once,
        "machine": machine,
        "software": software,
        "calls_at_once": CALLS_AT_ONCE,
    }
    return _PAGE.format(table="\n".join(lines), state=load if os.getloadavg()[2] > at_once * _BUSY else "", **given)


def _cells(row: Row, times: float) -> list[str]:
    cost, played = row.cost, row.cost.played
    about = "about " if played is not None else ""
    reads = cost.calls["GET"]
    per_server = f"{1000 * cost.cpu / row.servers:.0f}" if cost.cpu else ""
    return [
        f"{row.procedure}, {row.size:,} ({row.servers:,})",
        row.way + (f", from {played:,}" if played is not None else ""),
        f"{about}{cost.wall:,.0f}",
        f"x {times:.2f}",
        f"{about}{reads:,}",
        f"{about}{sum(cost.calls.values()) - reads:,}",
        f"{about}{cost.cpu:.1f}" if cost.cpu else "",
        per_server,
        f"{cost.resident:.0f}" if cost.resident else "",
        f"{cost.cloud_cpu:.0f}" if cost.cloud_cpu else "",
    ]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


_PAGE = """\
# How long a cloud is down

A simulated cloud in which each server has a root and a data volume, and forty of them share a host. A call takes
200 ms and the cloud works on 32 of them at once; a guest boots for 30 s, and a host boots eight at once. After a
*power loss* all of its servers are to be brought back, after a host's death (*evacuate-host*) those of that host.
Nothing is sped up.

{table}

* *Lower bound*: the calls that change something, through the {calls_at_once} places that there are, and the boots that
  must follow one another because a host boots eight at once; nothing is read, nothing is proved.
* *stackmend*: the whole command with its start: capture, plan, the cloud found ready, each step kept durably, every
  server proved by its state, its volumes at nova and cinder and its port, a look for leftovers.
* *One plain TaskFlow graph*: one chain for each server (order, wait), 200 threads, TaskFlow's own SQLite
  backend. It plans and proves nothing, and looks at each server by itself every two seconds.
* *The guides' shell loop*: `openstack server reboot --hard` (or `evacuate`) for one server after another with two
  seconds of pause, as in the guide's script. It attaches no volume, which today's nova need not have done, and looks
  at nothing.
* *From N*: played for so many servers only, and the rest reckoned at the same rate; only the peak is as it was. The
  graph's cost grows faster than that ([the engine](bench-engine.md)).
* *Reads* and *writes*: calls at nova, cinder, neutron, placement and glance. *CPU* is user and system time of the
  process, its start of about 1.5 s included (the shell loop's: of every client that it starts), *ms a server* that for
  each server brought back, *peak* its resident memory. *Cloud's CPU* is the simulation's own: it shares the machine.

What binds stackmend: the boots, first of all. To the bound a power loss adds the start and the capture, the proof that
the cloud is ready (three looks two seconds apart, and a heartbeat that advances), a second or two until a boot that
ended is seen and the next begins on that host, and the proof of the last servers. Polls are lists: of servers and
volumes what changed since the last look, of ports those that are waited for. In memory it is the libraries (88 MB),
the plan's outline and what the polls keep (5 KB a server) and, for each lane that has something to do (at most 256), a
thread and TaskFlow's engine (about 100 KB); lanes that only wait are parked
([how](decisions/0017-a-lane-that-waits-is-parked.md)).

{state}

```console
$ python -m bench.clouds --repeats {repeats} --at-once {at_once} --write
```

{machine}, {software}.
"""

if __name__ == "__main__":
    main()
