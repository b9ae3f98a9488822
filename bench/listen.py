"""The listener's benchmark: ``python -m bench.listen [--rate N] [--seconds N] [--write]``, from a checkout.

The listener is `stackmend listen` in a process of its own; this process posts to it on loopback, and afterwards
compares what was accepted with what is in the run store.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.engine import ROOT

PAGE = ROOT / "doc" / "bench-listen.md"
SECRET = "a secret for the benchmark alone"
CONNECTIONS = 32
HOSTS = 500
RULE = {
    "name": "host-down",
    "match": {"name": "HostDown"},
    "procedure": "evacuate-host",
    "parameters": {"host": "{host}"},
    "brake": {"most": 3, "seconds": 3600},
}


@dataclass
class Posted:
    """What came of the posts: seconds from when each was due to its answer, the ids that were accepted."""

    seconds: list[float] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    refused: int = 0
    elapsed: float = 0.0


@dataclass(frozen=True)
class Measured:
    """One case. ``cpu``: seconds of the listener's; ``lost``: accepted and not stored; ``decided``: seconds after."""

    posted: Posted
    lost: int
    cpu: float
    decided: float

    def row(self, title: str) -> str:
        """Its line of the table."""
        times = sorted(self.posted.seconds)
        p50, p99, most = (1000 * times[min(int(len(times) * share), len(times) - 1)] for share in (0.5, 0.99, 1))
        late = sum(second > 0.1 for second in times)
        rate = len(times) / self.posted.elapsed
        counted = f"{len(self.posted.accepted):,} | {self.posted.refused} | {self.lost} | {rate:,.0f}"
        return (
            f"| {title} | {counted} | {p50:.1f} | {p99:.1f} | {most:.0f} | {late} "
            f"| {1000 * self.cpu / len(times):.2f} | {self.decided:.1f} |"
        )


def main() -> None:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.listen", description=__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="requests a second (default 1000)")
    parser.add_argument("--seconds", type=float, default=20, help="for so long (default 20)")
    parser.add_argument("--write", action="store_true", help=f"write the table to {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    cases = {f"{arguments.rate:,} a second": float(arguments.rate), "as many as it takes": 0.0}
    rows = [measure(rate, arguments.seconds).row(title) for title, rate in cases.items()]
    table = "\n".join([_HEAD, *rows])
    sys.stdout.write(table + "\n")
    if arguments.write:
        machine = f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}"
        software = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
        told = {"table": table, "seconds": arguments.seconds, "machine": machine, "software": software, "load": load}
        PAGE.write_text(_PAGE.format(connections=CONNECTIONS, hosts=HOSTS, **told), encoding="utf-8")


def measure(rate: float, seconds: float) -> Measured:
    """Post for ``seconds`` at ``rate`` (0: as soon as the last answer came) to a listener with an empty store."""
    with tempfile.TemporaryDirectory() as directory, _listener(Path(directory)) as (process, port):
        before = _cpu(process)
        posted = asyncio.run(_post_all(port, rate, seconds))
        began = time.monotonic()
        file = f"{directory}/runs.sqlite"
        while _count(file, "WHERE verdict = 'undecided'"):
            time.sleep(0.1)
        decided = time.monotonic() - began
        stored = {row[0] for row in _rows(file, "SELECT uuid FROM stackmend_alarms")}
        cpu = _cpu(process) - before
    return Measured(posted, len(posted.accepted - stored), cpu, decided)


def _cpu(process: int) -> float:
    """Seconds of CPU that a process has used, user and system."""
    told = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _listener(directory: Path) -> Iterator[tuple[int, int]]:
    """A listener's process and port."""
    secret, rules, log = directory / "secret", directory / "rules.yaml", directory / "log"
    secret.touch(0o600)
    secret.write_text(SECRET)
    told = {"listen": "127.0.0.1:0", "sources": {"alertmanager": {"token": str(secret)}}, "rules": [RULE]}
    rules.write_text(yaml.safe_dump(told))
    command = [sys.executable, "-W", "ignore", "-m", "stackmend", "listen", "--rules", str(rules)]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--store", f"sqlite:///{directory}/runs.sqlite"], stderr=out)
    try:
        while not (found := re.search(r"listening at \S+:(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield process.pid, int(found.group(1))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


async def _post_all(port: int, rate: float, seconds: float) -> Posted:
    posted = Posted()
    began = time.monotonic()
    numbers = iter(range(int(rate * seconds) or sys.maxsize))
    posts = [_post_some(port, posted, numbers, began, rate, seconds) for _ in range(CONNECTIONS)]
    await asyncio.gather(*posts)
    posted.elapsed = time.monotonic() - began
    return posted


async def _post_some(
    port: int, posted: Posted, numbers: Iterator[int], began: float, rate: float, seconds: float
) -> None:
    """One connection's share: whichever number is next, when it is due."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        due = began + number / rate if rate else time.monotonic()
        if due > began + seconds:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.write(_request(number))
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        body = await reader.readexactly(int(length.group(1)))
        posted.seconds.append(time.monotonic() - due)
        if head.startswith(b"HTTP/1.1 202 "):
            posted.accepted.update(json.loads(body)["alarms"])
        else:
            posted.refused += 1
    writer.close()
    await writer.wait_closed()


def _request(number: int) -> bytes:
    labels = {"alertname": "HostDown" if number % 2 else "DiskFull", "instance": f"c{number % HOSTS}:9100"}
    alert = {
        "status": "firing",
        "labels": labels,
        "startsAt": "2026-11-21T10:00:00Z",
        "fingerprint": f"{number % HOSTS}",
    }
    body = json.dumps({"version": "4", "alerts": [alert]}).encode()
    head = f"POST /v1/alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _count(file: str, where: str) -> int:
    return int(_rows(file, f"SELECT count(*) FROM stackmend_alarms {where}")[0][0])


def _rows(file: str, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


_COLUMNS = (
    *("requests", "accepted", "refused", "accepted and lost", "a second", "p50, ms", "p99, ms", "longest, ms"),
    *("above 100 ms", "CPU ms a request", "decided after, s"),
)
_HEAD = f"| {' | '.join(_COLUMNS)} |\n| --- |{' ---: |' * (len(_COLUMNS) - 1)}"

_PAGE = """\
# What a storm of alarms costs

`stackmend listen` answers when an alarm is on disk; all that waits is stored by one transaction. Alerts of
Alertmanager's are posted by {connections} connections on loopback for {seconds:g} seconds, half of them about {hosts}
hosts that a rule is for: three of these are ordered, the brake holds the others, and repeats are the same incident.

{table}

* The time of a request is from when it was due to its whole answer: one that had to wait for another's counts its wait.
* *Accepted and lost* compares the ids in the answers with the rows of the run store.
* *CPU* is the listener's, user and system; alarms are decided while others are taken.
* *Decided after* is from the last answer until no alarm was undecided.
* The store is a SQLite file in WAL with `synchronous=FULL`.

Measured by

```console
$ python -m bench.listen --write
```

on a machine with {machine}, where the one that posts takes its share too, and other work did: its load was {load:.1f}
before this began. {software}.
"""

if __name__ == "__main__":
    main()
