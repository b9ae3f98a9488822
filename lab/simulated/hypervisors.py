"""Hosts and their processes: what is powered, what runs, what nova-compute was told while it did not."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.guests import Guests
from stackmend.lab.simulated.times import stamp

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

Work = Callable[[], Coroutine[Any, Any, None]]

CONTROLLER = "sim-ctl"
COMPUTE = "nova-compute"
AGENT = "neutron-openvswitch-agent"
# Seconds after which a changed report_interval is heeded.
_HEED = 0.2


class Hypervisors:
    """The hosts, their processes and heartbeats, and the queue of work of each nova-compute."""

    def __init__(self, cloud: "Cloud") -> None:
        self._cloud = cloud
        self._lab = cloud.lab
        self.guests = Guests(cloud)
        self._running: dict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._waiting: dict[str, list[Work]] = defaultdict(list)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._booting: dict[str, int] = defaultdict(int)
        self._room = asyncio.Condition()
        self.on_compute_start: Callable[[str], Coroutine[Any, Any, None]] | None = None

    def add_host(self, name: str, address: str, binaries: tuple[str, ...]) -> None:
        """A powered host on which these processes run; nothing when it is known."""
        if self._lab.one("SELECT 1 FROM hosts WHERE name = ?", name) is None:
            boot_id = str(uuid.uuid4())
            self._lab.insert("hosts", name=name, address=address, boot_id=boot_id, powered=True, partitioned=False)
        for binary in binaries:
            self._lab.write("INSERT OR IGNORE INTO processes VALUES (?, ?, 1, 0)", name, binary)

    def names(self) -> list[str]:
        """The compute hosts."""
        rows = self._lab.all("SELECT host FROM processes WHERE binary = ? ORDER BY host", COMPUTE)
        return [row["host"] for row in rows]

    def alive(self, host: str | None, binary: str = COMPUTE) -> bool:
        """True when the process runs on a powered host that the controller can reach."""
        row = self._lab.one(
            "SELECT 1 FROM hosts h JOIN processes p ON p.host = h.name"
            " WHERE h.name = ? AND p.binary = ? AND h.powered AND NOT h.partitioned AND p.running",
            host,
            binary,
        )
        return row is not None

    def powered(self, host: str) -> bool:
        """True while the host has power; KeyError when there is no such host."""
        row = self._lab.one("SELECT powered FROM hosts WHERE name = ?", host)
        if row is None:
            raise KeyError(f"there is no host {host}")
        return bool(row["powered"])

    def cast(self, host: str, work: Work) -> None:
        """Tell nova-compute of a host to do something; it waits in its queue while that is down."""
        if not self.alive(host):
            self._waiting[host].append(work)
            return
        task = self._cloud.background(work())
        self._running[host].add(task)
        task.add_done_callback(self._running[host].discard)

    def lock(self, server: str) -> asyncio.Lock:
        """What nova-compute holds while it works on a server."""
        return self._locks[server]

    async def boot_time(self, host: str) -> None:
        """Wait for one of the host's places to boot, then for as long as a boot takes."""
        async with self._room:
            await self._room.wait_for(lambda: self._booting[host] < self._cloud.settings.boots_per_host)
            self._booting[host] += 1
        try:
            await asyncio.sleep(self._cloud.settings.boot_seconds)
        finally:
            async with self._room:
                self._booting[host] -= 1
                self._room.notify_all()

    def forget(self) -> None:
        """Drop all work, done or waiting."""
        self._waiting.clear()
        self._running.clear()
        self._locks.clear()

    def stop_process(self, host: str, binary: str) -> None:
        """End a process; what it was doing is lost."""
        self._lab.update("processes", {"host": host, "binary": binary}, running=False)
        if binary == COMPUTE:
            for task in list(self._running[host]):
                task.cancel()
        self._cloud.journal.effect("host.process.stop", host, binary=binary)

    def start_process(self, host: str, binary: str) -> None:
        """Start a process; a nova-compute takes up what waited for it."""
        self._lab.update("processes", {"host": host, "binary": binary}, running=True)
        self._cloud.journal.effect("host.process.start", host, binary=binary)
        self._returned(host, binary)

    def _returned(self, host: str, binary: str) -> None:
        self.beat()
        if binary == COMPUTE and self.alive(host):
            waiting = self._waiting.pop(host, [])
            self._cloud.background(self._take_up(host, waiting))

    async def _take_up(self, host: str, waiting: list[Work]) -> None:
        if self.on_compute_start is not None:
            await self.on_compute_start(host)
        if self._cloud.settings.queued_casts_survive:
            for work in waiting:
                self.cast(host, work)

    def set_masked(self, host: str, binary: str, *, masked: bool) -> None:
        """Mask or unmask a unit: a masked one does not start."""
        self._lab.update("processes", {"host": host, "binary": binary}, masked=masked)

    def power_off(self, host: str) -> list[str]:
        """Cut a host's power: its guests stop with it. The ids of those that ran."""
        self._lab.update("hosts", {"name": host}, powered=False)
        for task in list(self._running[host]):
            task.cancel()
        lost = self.guests.lose_all(host)
        self._cloud.journal.effect("host.power.off", host, guests=lost)
        return lost

    def power_on(self, host: str, without: tuple[str, ...] = ()) -> None:
        """Give a host power: its unmasked processes start, except those in ``without``; no guest does."""
        self._lab.update("hosts", {"name": host}, powered=True, boot_id=str(uuid.uuid4()))
        self._cloud.journal.effect("host.power.on", host)
        for row in self._lab.all("SELECT binary, masked FROM processes WHERE host = ?", host):
            if row["masked"] or row["binary"] in without:
                self._lab.update("processes", {"host": host, "binary": row["binary"]}, running=False)
            else:
                self.start_process(host, row["binary"])

    def partition(self, host: str, *, on: bool) -> None:
        """Cut a host off the controllers, or join it again; its guests go on."""
        self._lab.update("hosts", {"name": host}, partitioned=on)
        self._cloud.journal.effect("host.partition" if on else "host.join", host)
        if not on:
            self._returned(host, COMPUTE)

    def beat(self) -> None:
        """Every living process reports itself, as it does each report_interval."""
        now = stamp()
        alive = {(r["host"], r["binary"]) for r in self._alive_rows()}
        for host, binary in alive:
            if binary.startswith("nova-"):
                self._cloud.nova.write(
                    "UPDATE services SET updated_at = ?, last_seen_up = ?, report_count = report_count + 1"
                    " WHERE host = ? AND binary = ?",
                    now,
                    now,
                    host,
                    binary,
                )
            elif binary.startswith("cinder-"):
                self._cloud.cinder.write(
                    "UPDATE services SET updated_at = ?, report_count = report_count + 1"
                    " WHERE (host = ? OR host LIKE ?) AND binary = ?",
                    now,
                    host,
                    f"{host}@%",
                    binary,
                )
            else:
                self._cloud.neutron.write(
                    "UPDATE agents SET heartbeat_timestamp = ? WHERE host = ? AND binary = ?",
                    now,
                    host,
                    binary,
                )

        self.wire_ports()

    def wire_ports(self) -> None:
        """Each living agent wires what is bound to its host and DOWN."""
        for row in self._alive_rows():
            host = row["host"]
            if row["binary"] == AGENT:
                self._cloud.neutron.write(
                    "UPDATE ports SET status = 'ACTIVE' WHERE status = 'DOWN' AND"
                    " device_owner LIKE 'compute:%'"
                    " AND id IN (SELECT port_id FROM ml2_port_bindings WHERE host = ? AND status = 'ACTIVE'"
                    " AND vif_type = 'ovs')",
                    host,
                )

    def _alive_rows(self) -> list[Any]:
        return self._lab.all(
            "SELECT p.host, p.binary FROM processes p JOIN hosts h ON h.name = p.host"
            " WHERE h.powered AND NOT h.partitioned AND p.running"
        )

    async def heartbeats(self) -> None:
        """Report for ever; an interval that is changed holds at once."""
        while True:
            self.beat()
            since = asyncio.get_running_loop().time()
            while (left := since + self._cloud.settings.report_interval - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(min(left, _HEED))
