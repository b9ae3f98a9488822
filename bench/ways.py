"""Ways to bring a simulated cloud back: stackmend, the guides' shell loop, a plain TaskFlow graph."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bench.town import BOOT_SECONDS, POWER_LOSS, Cost, Town, environment, told

ROOT = Path(__file__).parents[1]
PAUSE = 2.0
# Servers that the shell loop is played for: each takes the same time, one behind the other.
_LOOPED = 10
# The most servers in a graph that is run: what it costs grows with the square of them.
_GRAPHED = 200


def stackmend(town: Town) -> Cost:
    """`stackmend run`, as an operator types it, with nova's and cinder's databases, until it says that all is done."""
    found = town.cloud.description["databases"]
    sql = [word for name in ("nova", "cinder") for word in ("--sql", f"{name}={found[name]}")]
    words = ["run", town.procedure, "--yes", "-f", "json", *sql]
    if town.procedure != POWER_LOSS:
        words += [town.host, "--fenced", "its plug is pulled"]
    return _measured(town, ["-m", "stackmend", *words])


def graph(town: Town) -> Cost:
    """The same effects as one plain TaskFlow graph on TaskFlow's own SQLite backend; of a part, where it is large."""
    played = town.victims[:_GRAPHED]
    listed = town.directory / "victims"
    listed.write_text("\n".join(played), encoding="utf-8")
    store = town.directory / f"graph-{time.monotonic_ns()}.sqlite"
    cost = _measured(town, ["-m", "bench.graph", town.procedure, str(listed), f"sqlite:///{store}"], played)
    return _scaled(cost, len(played), len(town.victims))


def loop(town: Town) -> Cost:
    """The guides' script with today's client: a server at a time, a pause behind each; of a part."""
    played = town.victims[:_LOOPED]
    order = ["server", "reboot", "--hard"] if town.procedure == POWER_LOSS else ["server", "evacuate"]
    # From 2.95 on what ran would be left stopped.
    client = [str(Path(sys.executable).with_name("openstack")), "--os-compute-api-version", "2.94", *order]
    town.strike()
    before, began = os.times(), time.monotonic()
    for server in played:
        done = subprocess.run([*client, server], env=environment(town), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(told(done.stderr))
        time.sleep(PAUSE)
    wall, after = time.monotonic() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    found = _scaled(Cost(wall, town.calls(), cpu), len(played), len(town.victims))
    town.until_running(played)
    # The last one boots when the loop has ended; the script itself does not look.
    return Cost(found.wall + BOOT_SECONDS, found.calls, found.cpu, played=found.played)


WAYS: dict[str, Callable[[Town], Cost]] = {
    "stackmend": stackmend,
    "one plain TaskFlow graph": graph,
    "the guides' shell loop": loop,
}


def _measured(town: Town, words: list[str], victims: list[str] | None = None) -> Cost:
    """Run a Python program on the town in trouble, until it ends. Raises RuntimeError when either is not well."""
    town.strike()
    log = town.directory / "told"
    cloud_cpu, began = town.cpu(), time.monotonic()
    with log.open("wb") as output:
        command = [sys.executable, *words]
        process = subprocess.Popen(command, cwd=ROOT, env=environment(town), stdout=output, stderr=output)
        _, code, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(code)
    wanted = town.victims if victims is None else victims
    if process.returncode or town.running(wanted) < len(wanted):
        words_left = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(words[:3])} ended with {process.returncode}: {words_left}")
    cpu = used.ru_utime + used.ru_stime
    return Cost(wall, town.calls(), cpu, used.ru_maxrss / 1024, town.cpu() - cloud_cpu)


def _scaled(cost: Cost, played: int, whole: int) -> Cost:
    """What the whole would cost at the rate of the part that was played."""
    if played == whole:
        return cost
    times = whole / played
    calls = Counter({method: round(count * times) for method, count in cost.calls.items()})
    return Cost(cost.wall * times, calls, cost.cpu * times, cost.resident, cost.cloud_cpu * times, played)
