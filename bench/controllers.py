"""Several controllers at work on one run: ``python -m bench.controllers [--servers N] [--write]``.

A simulated cloud of N servers has lost its power. One, two and three workers bring it back, over Redis (TLS, password)
and MariaDB; then three do, while two are killed, two added, and Redis and MariaDB are killed and started again.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from stackmend.engine import order_status, orders, report
from stackmend.engine.store import Store
from stackmend.errors import StoreError
from stackmend.lab.boards import Redis
from stackmend.lab.control import SimulatedCloud
from stackmend.lab.databases import MariaDB
from stackmend.lab.servers import Server

PAGE = Path(__file__).parents[1] / "doc" / "bench-controllers.md"
_LANES, _CLAIM = 12, 6.0
_LONGEST = 1200.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """One recovery. ``wall``: from the order to the last server proved; ``cpu``: of all workers; both in seconds."""

    what: str
    wall: float
    cpu: float
    rebooted: int
    twice: int
    state: str


class Controllers:
    """A dark cloud, a store, a board, and workers."""

    def __init__(self, directory: Path, cloud: SimulatedCloud, board: Redis, database: MariaDB, servers: int) -> None:
        self.cloud, self.board, self.database, self.directory = cloud, board, database, directory
        directory.mkdir()
        cloud.restore("empty")
        hosts = max(1, servers // 8)
        named = [{"name": f"s{n:04}", "host": f"sim-c{n % hosts + 1:02}", "root": "volume"} for n in range(servers)]
        cloud.seed(hosts=hosts, servers=named)
        cloud.settings(boot_seconds=3.0, boots_per_host=2, call_delay=0.02)
        cloud.power_cut()
        cloud.power_on()
        cloud.clear_journal()
        url = database.fresh()
        own = {"store": url, "lanes": _LANES, "claim": _CLAIM, "lease": _CLAIM, "settle": 2.0, "poll_interval": 0.5}
        settings = {**own, "board": {**board.board, "namespace": directory.name}}
        (directory / "stackmend.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        self.store = Store(url)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.cpu = 0.0

    def worker(self) -> None:
        """One more of them."""
        databases = self.cloud.description["databases"]
        sql = [word for name in ("nova", "cinder") for word in ("--sql", f"{name}={databases[name]}")]
        variables = {
            **os.environ,
            "OS_CLIENT_CONFIG_FILE": self.cloud.description["clouds_yaml"],
            "OS_CLOUD": "sim",
            "STACKMEND_CONFIG": str(self.directory / "stackmend.yaml"),
        }
        with (self.directory / "workers.log").open("ab") as log:
            command = [sys.executable, "-m", "stackmend", "worker", *sql]
            self.workers.append(subprocess.Popen(command, env=variables, stdout=log, stderr=log))

    def kill(self) -> None:
        """The oldest of them."""
        victim = self.workers.pop(0)
        self.cpu += used(victim.pid)
        victim.kill()
        victim.wait()

    def recovered(self) -> tuple[int, bool]:
        """How many servers are, and whether all is over."""
        try:
            run = order_status.look(self.store, "outage")["run"]
            if run is None:
                return 0, False
            found = report.status_of(self.store, run)
        except StoreError:
            # It is being started again.
            return 0, False
        done = [lane for lane in found["lanes"] if lane["lane"].startswith("server:") and lane["state"] == "done"]
        return len(done), found["ended_at"] is not None

    def wait(self, over: Callable[[int, bool], bool]) -> None:
        """Until so much is done."""
        deadline = time.monotonic() + _LONGEST
        while not over(*self.recovered()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done: see {self.directory / 'workers.log'}")
            time.sleep(0.5)

    def row(self, what: str, storm: Callable[["Controllers"], None] = lambda _: None) -> Row:
        """Recover, and count."""
        quick = {"ready_checks": 1, "ready_interval": 0.5}
        began = time.monotonic()
        orders.place(self.store, "outage", "power-loss", quick, approved=True)
        storm(self)
        self.wait(lambda _, ended: ended)
        wall = time.monotonic() - began
        self.cpu += sum(used(worker.pid) for worker in self.workers)
        times = Counter(effect["target"] for effect in self.cloud.journal("server.reboot"))
        state = order_status.look(self.store, "outage")["state"]
        return Row(what, wall, self.cpu, len(times), sum(count > 1 for count in times.values()), state)

    def leave(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.store.close()


def storm(servers: int) -> Callable[[Controllers], None]:
    """Two workers die, two come, the board and the database are killed and started again."""

    def happens(house: Controllers) -> None:
        blows: list[Callable[[], None]] = [house.kill, house.worker, house.kill, house.worker]
        blows += [lambda: again(house.board), lambda: again(house.database)]
        for number, blow in enumerate(blows, 1):
            # They are spread over the first three quarters.
            least = servers * 3 * number // (4 * len(blows))
            house.wait(lambda done, ended, least=least: ended or done >= least)  # type: ignore[misc]
            blow()

    return happens


def again(server: Server) -> None:
    """Kill it, and start it."""
    server.stop(kill=True)
    server.start()


def used(pid: int) -> float:
    """CPU seconds of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """One server, while the block lasts."""
    try:
        server.start()
        yield server
    finally:
        server.stop(kill=True)


def main() -> None:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.controllers", description=__doc__)
    parser.add_argument("--servers", type=int, default=200, help="on an eighth as many hosts (default 200)")
    parser.add_argument("--write", action="store_true", help="write the table to doc/bench-controllers.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, SimulatedCloud(Path(scratch) / "cloud") as cloud:
        cloud.snapshot("empty")
        board, database = Redis(Path(scratch) / "redis"), MariaDB(Path(scratch) / "mariadb")
        with running(board), running(database):
            rows = []
            for number, (what, workers, meanwhile) in enumerate(cases(given.servers)):
                house = Controllers(Path(scratch) / f"house{number}", cloud, board, database, given.servers)
                try:
                    for _ in range(workers):
                        house.worker()
                    rows.append(house.row(what, meanwhile))
                finally:
                    house.leave()
                sys.stderr.write(json.dumps(vars(rows[-1])) + "\n")
    text = page(rows, given.servers)
    sys.stdout.write(text)
    if given.write:
        PAGE.write_text(text, encoding="utf-8")


def cases(servers: int) -> list[tuple[str, int, Callable[[Controllers], None]]]:
    """What is measured."""
    calm = [(f"{count} worker{'s' * (count > 1)}", count, lambda _: None) for count in (1, 2, 3)]
    return [*calm, ("3 workers in a storm", 3, storm(servers))]


def page(rows: list[Row], servers: int) -> str:
    """The table, and what it means."""
    lines = [
        f"| {row.what} | {row.wall:.0f} | {servers / row.wall * 60:.0f} | {rows[0].wall / row.wall:.2f} "
        f"| {row.cpu:.0f} | {row.rebooted} | {row.twice} | {row.state} |"
        for row in rows
    ]
    return _PAGE.format(
        servers=servers,
        hosts=max(1, servers // 8),
        lanes=_LANES,
        claim=_CLAIM,
        rows="\n".join(lines),
        machine=f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}",
    )


_PAGE = """# Several controllers on one run

A simulated cloud of {servers} servers on {hosts} hosts comes back from a power loss (3 s a boot, two at once on a host,
20 ms a call). Workers share its lanes over Redis (TLS, password, nothing kept on disk), at most {lanes} in hand each;
the run store is MariaDB; a claim lasts {claim:.0f} s. In the storm two workers are killed and two come, then Redis is
killed and started again (it has forgotten everything), then MariaDB.

    python -m bench.controllers --write

| | seconds | servers a minute | times one worker's speed | CPU s, all workers | rebooted | rebooted twice | state |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |
{rows}

One measurement each, on {machine}: all workers, the cloud, Redis and MariaDB share them.
The CPU of a worker that was killed counts until then.
"""


if __name__ == "__main__":
    main()
