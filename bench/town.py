"""A simulated cloud of a size, in trouble; and what bringing it back costs.

Each call to it takes 200 ms and 32 are admitted at once, a boot takes 30 s and a host boots eight guests at once.
Nothing is sped up: what takes a second takes a second.
"""

import contextlib
import math
import os
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from stackmend.lab.control import SimulatedCloud

CALL_SECONDS, CALLS_AT_ONCE = 0.2, 32
BOOT_SECONDS, BOOTS_A_HOST = 30.0, 8
SERVERS_A_HOST = 40
POWER_LOSS, EVACUATE = "power-loss", "evacuate-host"
PROCEDURES = (POWER_LOSS, EVACUATE)
# A heartbeat must advance for a cloud to count as ready: every process of the simulated one beats at the same moment.
_BEAT, _DOWN_AFTER = 5.0, 60.0
# Each row a minute before the next.
_EARLIER = "strftime('%Y-%m-%d %H:%M:%S', {}, '-' || rowid || ' minutes')"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one way of bringing a cloud back cost.

    ``wall``: seconds until the command ended; ``cpu``: its process's CPU seconds, ``resident`` its peak memory in MB
    (0: not measured); ``calls`` by method; ``cloud_cpu``: the simulated cloud's CPU seconds; ``played``: how many
    servers the numbers were measured on, where they stand for more.
    """

    wall: float
    calls: Counter[str] = field(default_factory=Counter)
    cpu: float = 0.0
    resident: float = 0.0
    cloud_cpu: float = 0.0
    played: int | None = None


class Town:
    """``servers`` servers, each with a root and a data volume, on a fortieth as many hosts.

    ``victims`` are the ids of those to bring back: all after a power loss, else those of the first host.
    """

    def __init__(self, procedure: str, servers: int) -> None:
        self.procedure = procedure
        self.servers = servers
        # With two hosts only there would be nowhere to choose from.
        self.hosts = max(3, math.ceil(servers / SERVERS_A_HOST))
        self._scratch = tempfile.TemporaryDirectory(prefix="stackmend-bench-")
        self.directory = Path(self._scratch.name)
        self.cloud = SimulatedCloud(self.directory / "cloud")
        self.victims: list[str] = []
        self._known = 0

    def __enter__(self) -> Self:
        self.cloud.start()
        seeded = self.cloud.seed(hosts=self.hosts, servers=self.servers, volumes_per_server=1, root="volume")
        self.host: str = seeded["hosts"][0]
        ids = list(seeded["servers"].values())
        self.victims = ids if self.procedure == POWER_LOSS else ids[:: self.hosts]
        self._grow_old()
        self.cloud.snapshot()
        return self

    def __exit__(self, *_: object) -> None:
        self.cloud.stop()
        self._scratch.cleanup()

    def _grow_old(self) -> None:
        """As in a cloud that was there for a while: no two of its servers or volumes changed at the same time."""
        for database, table in (("nova", "instances"), ("cinder", "volumes")):
            path = self.cloud.description["databases"][database].removeprefix("sqlite:///")
            times = ", ".join(f"{name} = {_EARLIER.format(name)}" for name in ("created_at", "updated_at"))
            with contextlib.closing(sqlite3.connect(path, timeout=60)) as link, link:
                link.execute(f"UPDATE {table} SET {times}")

    def strike(self) -> None:
        """The trouble, in a cloud that is whole again: its power fails and returns, or its first host dies."""
        self.cloud.restore()
        self.cloud.settings(call_delay=0, report_interval=_BEAT, service_down_time=_DOWN_AFTER)
        if self.procedure == POWER_LOSS:
            self.cloud.power_cut()
            self.cloud.power_on()
        else:
            self.cloud.host(self.host, "power-off")
            self.cloud.damage("heartbeat-stale", self.host)
        self.cloud.settings(
            call_delay=CALL_SECONDS,
            calls_at_once=CALLS_AT_ONCE,
            boot_seconds=BOOT_SECONDS,
            boots_per_host=BOOTS_A_HOST,
        )
        self.cloud.clear_journal()

    def calls(self) -> Counter[str]:
        """The calls that the cloud's APIs have taken since the trouble, by method."""
        return Counter(call["method"] for call in self.cloud.calls() if call["service"] not in ("identity", "redfish"))

    def cpu(self) -> float:
        """CPU seconds that the simulated cloud has used so far."""
        stat = Path(f"/proc/{self.cloud.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return sum(map(int, stat[11:13])) / _TICKS

    def running(self, servers: list[str]) -> int:
        """How many of these have a guest that runs, on a host that has power."""
        guests = [row for row in self.cloud.state()["guests"].values() if row["running"]]
        return len({row["uuid"] for row in guests} & set(servers))

    def until_running(self, servers: list[str], longest: float = 1800.0) -> None:
        """Wait until they all run. Raises TimeoutError."""
        deadline = time.monotonic() + longest
        while self.running(servers) < len(servers):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.running(servers)} of {len(servers)} servers run after {longest:.0f} s")
            time.sleep(0.5)


def lower_bound(procedure: str, hosts: int, victims: int) -> Cost:
    """What no way can go below: a call and a boot for each server, as many at once as there can be."""
    others = hosts if procedure == POWER_LOSS else hosts - 1
    waves = math.ceil(math.ceil(victims / others) / BOOTS_A_HOST)
    return Cost(victims * CALL_SECONDS / CALLS_AT_ONCE + waves * BOOT_SECONDS, Counter(POST=victims))


def environment(town: Town) -> dict[str, str]:
    """The variables that lead a client to the town's cloud, and stackmend's files into its directory."""
    return {**town.cloud.environment(), "XDG_STATE_HOME": str(town.directory / "state"), "PYTHONWARNINGS": "ignore"}


def told(text: Any) -> str:
    """The last line of what a process said, for an error."""
    lines = str(text).strip().splitlines()
    return lines[-1] if lines else "it said nothing"
