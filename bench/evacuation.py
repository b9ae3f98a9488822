"""Evacuation side by side on the real OpenStack lab: ``python -m bench.evacuation [--servers N] [--write]``.

The lab is brought up with Masakari in ``--directory``, on ports of its own, and stopped at the end. Each way begins
with the same servers on a clean cloud, when nova has noticed that their host is gone.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.casualty import Casualty
from bench.rescues import Loop, Masakari, Rescue, Stackmend
from stackmend.lab.openstack.control import OpenStackLab

PAGE = Path(__file__).parents[1] / "doc" / "bench-evacuation.md"
_PORTS = 31000


@dataclass(frozen=True)
class Cost:
    """One rescue: seconds until the last server was whole (``back``) and until it said so (``told``); calls; CPU.

    ``reads`` and ``writes`` are all calls that the core services' APIs took (GET and HEAD, and others), those among
    the services themselves included; ``nova`` those at nova's. ``services``: their CPU seconds, without Masakari's.
    """

    back: float
    told: float
    nova: int
    reads: int
    writes: int
    services: float

    @property
    def calls(self) -> int:
        """All of them."""
        return self.reads + self.writes


def main() -> None:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.evacuation", description=__doc__)
    parser.add_argument("--servers", type=int, default=20, help="servers with a volume each (default 20)")
    parser.add_argument("--repeats", type=int, default=1, help="measurements of each way (default 1)")
    parser.add_argument("--directory", type=Path, help="the lab's directory (default: a temporary one)")
    parser.add_argument("--write", action="store_true", help="write the table to doc/bench-evacuation.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        lab = OpenStackLab(given.directory or Path(scratch) / "lab", _say)
        lab.up(extras=["masakari"], port_base=_PORTS)
        try:
            ways = [Stackmend(Path(scratch)), Masakari(3), Masakari(20), Loop()]
            found = {way.title: [measure(lab, way, given.servers) for _ in range(given.repeats)] for way in ways}
        finally:
            lab.down(purge=given.directory is None)
    lines = table(found)
    sys.stdout.write("\n".join(lines) + "\n")
    if given.write:
        PAGE.write_text(page(lines, given.servers, given.repeats), encoding="utf-8")


def measure(lab: OpenStackLab, way: Rescue, servers: int) -> Cost:
    """One host's death, and its servers' rescue in this way."""
    _say(f"{way.title} ...")
    casualty = Casualty(lab, servers)
    try:
        casualty.build()
        way.prepare(casualty)
        casualty.dies()
        calls, cpu, began = casualty.calls(), casualty.cpu(), time.monotonic()
        watch = _Watch(casualty)
        way.run(casualty)
        told = time.monotonic() - began
        back = watch.ended() - began
        taken, now = casualty.calls() - calls, casualty.cpu()
        used = [seconds - cpu.get(name, 0.0) for name, seconds in now.items() if not name.startswith("masakari")]
        core = {key: count for key, count in taken.items() if not key[0].startswith("masakari")}
        reads = sum(count for (_, method), count in core.items() if method in ("GET", "HEAD"))
        cost = Cost(
            back=back,
            told=max(told, back),
            nova=sum(count for (api, _), count in core.items() if api == "nova-api"),
            reads=reads,
            writes=sum(core.values()) - reads,
            services=sum(used),
        )
        _say(f"{way.title}: {cost}; {dict(sorted(taken.items()))}")
        return cost
    finally:
        casualty.close()


class _Watch:
    """Notes the moment at which the servers are back, whatever the rescuer says."""

    def __init__(self, casualty: Casualty) -> None:
        self._casualty = casualty
        self._moment = 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        self._casualty.until(self._casualty.back, "the servers are back")
        self._moment = time.monotonic()

    def ended(self) -> float:
        """When that was; waits for it. Raises TimeoutError when it never was."""
        self._thread.join()
        if not self._moment:
            raise TimeoutError("the servers did not come back")
        return self._moment


def table(found: Mapping[str, Sequence[Cost]]) -> list[str]:
    """The table's lines, in Markdown, each number a median."""
    head = ["way", "back, s", "told, s", "calls", "of them nova's", "writes", "services, CPU s"]
    rows = [[title, *_medians(costs)] for title, costs in found.items()]
    return [_line(head), _line(["---", *["---:"] * (len(head) - 1)]), *map(_line, rows)]


def _medians(costs: Sequence[Cost]) -> list[str]:
    def median(values: Iterable[float]) -> float:
        return statistics.median(values)

    seconds = [median(one.back for one in costs), median(one.told for one in costs)]
    counts = [median(getattr(one, name) for one in costs) for name in ("calls", "nova", "writes")]
    cpu = median(one.services for one in costs)
    return [*(f"{value:.1f}" for value in seconds), *(f"{value:.0f}" for value in counts), f"{cpu:.1f}"]


def page(lines: list[str], servers: int, repeats: int) -> str:
    """The page of the documentation that holds the table."""
    machine = f"{os.cpu_count()} cores ({platform.machine()})"
    return _PAGE.format(table="\n".join(lines), servers=servers, repeats=repeats, machine=machine)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


_PAGE = """\
# What an evacuation costs, side by side

A host of the real OpenStack lab with {servers} servers, a volume each, loses its power. When nova has noticed, each way
brings them back on the two other hosts; before each of them the cloud is clean again.

{table}

* *Back* is when the last server ran elsewhere with its volume and its port, as the services' databases show it; *told*
  is when the tool itself said that it was done. The loop of OpenStack's client looks at nothing: it is told by us.
* *Calls* are all that the APIs of keystone, nova, cinder, neutron, placement and glance took, from their access logs:
  the services' own calls to each other included, which an evacuation costs whoever asks for it. *Writes* are those that
  are no GET.
* *Services* is the CPU of OpenStack's processes, database and bus; that of the tool itself (Masakari's API and engine
  too) is left out.
* Masakari is asked once a second how far it is. Its own API's calls are left out, but not that keystone checks a token
  for each of them: about one call a second.
* Masakari is tuned: it does not wait after it disabled the service, and works with as many threads as the row says.
* stackmend does more in that time: it plans, keeps every step, fences (by an operator's word here), forces the host
  down, starts the servers in order, proves state, volumes and ports at three services, and holds the host.

Measured on {machine}, {repeats} of each, medians: `python -m bench.evacuation --repeats {repeats} --write`.
"""


if __name__ == "__main__":
    main()
