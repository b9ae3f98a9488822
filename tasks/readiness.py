"""Is the cloud back? Real answers from every service that the recovery needs, held stable."""

import time
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Evidence, Wait
from stackmend.errors import CloudError, NeedsHands


def not_ready(cloud: Cloud, hosts: set[str]) -> tuple[list[str], dict[str, str]]:
    """What is missing, one clause each, and the last heartbeat of each nova service (by binary@host)."""
    missing: list[str] = []
    computes = reads.compute_services(cloud)
    up = [row for row in computes if row["state"] == "up"]
    for binary in ("nova-scheduler", "nova-conductor", "nova-compute"):
        if not any(row["binary"] == binary for row in up):
            missing.append(f"no {binary} is up")
    if hosts and not hosts & {row["host"] for row in up if row["binary"] == "nova-compute"}:
        missing.append("none of the servers' hosts has its nova-compute up")
    volume_services = reads.volume_services(cloud)
    for binary in ("cinder-scheduler", "cinder-volume"):
        if not any(row["binary"] == binary and row["state"] == "up" for row in volume_services):
            missing.append(f"no {binary} is up")
    if not any(row["alive"] for row in reads.network_agents(cloud)):
        missing.append("no neutron agent is alive")
    cloud.get("placement", "/resource_providers", {"name": "none"})
    return missing, {f"{row['binary']}@{row['host']}": str(row["updated_at"]) for row in up}


class CloudReady(Wait):
    """Every service answers, and nova's heartbeats advance, ``checks`` times in a row.

    A heartbeat reaches the database through the message bus and the conductor: one that advances proves
    them all. A cloud that is still coming up is waited for, not hammered. Undo: nothing to undo, it only
    reads.
    """

    slug = "cloud.ready"
    title = "wait until the cloud is ready: every service answers and heartbeats advance"

    def __init__(self, cloud_name: str, hosts: list[str], checks: int, seconds: float, interval: float) -> None:
        super().__init__(cloud_name, seconds)
        self.hosts = set(hosts)
        self.checks = checks
        self.interval = interval

    def confirm(self, record: Record, journal: Journal, cloud: Cloud) -> Evidence:
        """Stable for as many checks as wanted. Raises NeedsHands at the deadline, naming what is missing."""
        deadline = time.monotonic() + self.seconds
        first: dict[str, str] = {}
        held, looked = 0, 0
        while True:
            missing, beats = self._look(cloud)
            looked += 1
            first = first or beats
            held = held + 1 if not missing else 0
            advanced = sorted(name for name, beat in beats.items() if beat > first.get(name, beat))
            if held >= self.checks and advanced:
                return {"checks": looked, "heartbeats_advanced": len(advanced), "services_up": len(beats)}
            if time.monotonic() >= deadline:
                why = "; ".join(missing) or "nova's heartbeats do not advance (message bus? conductor?)"
                raise NeedsHands(f"the cloud is not ready after {self.seconds:.0f} s: {why}; mend that, then retry")
            journal.pause(self.interval)

    def _look(self, cloud: Cloud) -> tuple[list[str], dict[str, Any]]:
        try:
            return not_ready(cloud, self.hosts)
        except CloudError as error:
            return [str(error)], {}
