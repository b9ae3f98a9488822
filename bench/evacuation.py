"""Evacuation side by side on the real OpenStack lab: ``python -m bench.evacuation [--servers N] [--write]``.

The lab is brought up with Masakari in ``--directory``, on ports of its own, and stopped at the end. Each way begins
with the same servers on a clean cloud, when nova has noticed that their host is gone.
"""

import argparse
import itertools
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.access import Call
from bench.casualty import Casualty
from bench.evacuation_page import Cost, Found, own_table, page, table
from bench.rescues import Loop, Masakari, Rescue, Stackmend
from stackmend.lab.openstack.control import OpenStackLab

PAGE = Path(__file__).parents[1] / "doc" / "bench-evacuation.md"
_PORTS = 31000


def main() -> None:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.evacuation", description=__doc__)
    parser.add_argument(
        "--servers", type=int, nargs="+", default=[20], help="how many, with a volume each; several sizes (default 20)"
    )
    parser.add_argument(
        "--repeats", type=int, nargs="+", default=[1], help="measurements of each way: a number, or one for each size"
    )
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[20, 3], help="of Masakari's engine, each a way (default 20 and 3)"
    )
    parser.add_argument("--directory", type=Path, help="the lab's directory (default: a temporary one)")
    parser.add_argument("--write", action="store_true", help="write the table to doc/bench-evacuation.md")
    given = parser.parse_args()
    if len(given.repeats) not in (1, len(given.servers)):
        parser.error("--repeats takes one number, or as many as --servers")
    sizes = list(itertools.zip_longest(given.servers, given.repeats, fillvalue=given.repeats[-1]))
    with tempfile.TemporaryDirectory() as scratch:
        lab = OpenStackLab(given.directory or Path(scratch) / "lab", _say)
        lab.up(extras=["masakari"], port_base=_PORTS)
        try:
            found = _measured(lab, Path(scratch), sizes, given.threads)
        finally:
            lab.down(purge=given.directory is None)
    tables = table(found), own_table(found)
    sys.stdout.write("\n".join([*tables[0], "", *tables[1], ""]))
    if given.write:
        PAGE.write_text(page(*tables, sizes, given.threads), encoding="utf-8")


def _measured(lab: OpenStackLab, scratch: Path, sizes: Iterable[tuple[int, int]], threads: Iterable[int]) -> Found:
    """One way after the other, and that again: what else the machine does meets all of them."""
    found: Found = defaultdict(list)
    for servers, repeats in sizes:
        for _ in range(repeats):
            for way in (Stackmend(scratch), *map(Masakari, threads), Loop()):
                try:
                    found[servers, way.title].append(measure(lab, way, servers))
                except RuntimeError as error:
                    _say(f"{way.title}: left out, for it says that it failed: {error}")
    return found


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
        cost = _cost(way, back, max(told, back), casualty.calls() - calls, cpu, casualty.cpu())
        _say(f"{way.title}: {cost}")
        return cost
    finally:
        casualty.close()


def _cost(
    way: Rescue, back: float, told: float, taken: Counter[Call], before: Mapping[str, float], now: Mapping[str, float]
) -> Cost:
    core = Counter({call: count for call, count in taken.items() if not call.api.startswith("masakari")})
    own: Counter[str] = Counter()
    for call, count in core.items():
        if way.asks(call):
            own[call.kind] += count
    used = [seconds - before.get(name, 0.0) for name, seconds in now.items() if not name.startswith("masakari")]
    writes = sum(count for call, count in core.items() if not call.reads)
    return Cost(back, told, core.total(), writes, own, sum(used))


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


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
