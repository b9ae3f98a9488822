"""Before a host is replaced: is it really dead, and is it alone?

A network partition makes everything look dead to one observer. So one witness is not believed, and when
too many hosts are down, or were evacuated lately, nothing is moved until a person says so by name.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.fencing import OFF, Fences
from stackmend.clients.polls import Polls
from stackmend.clients.ssh import GREETS, SILENT, Ssh
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, Seen, Step, Wait
from stackmend.errors import HostUnreachable, NeedsHands

Row = dict[str, Any]
_LOOK_EVERY = 1.0


class Brake(Step):
    """Stop where more looks dead than one host's failure explains; fails closed. Undo: nothing to undo.

    ``most_down``: the share of enabled hosts, in the whole cloud and in each of the host's aggregates and zones,
    that may be down, the host itself among them; one always may. Hosts that somebody disabled carry nothing
    that could be missed: they are not counted. ``window``: the hours for which evacuations from other hosts count.
    ``override`` is a person's reason to go on all the same; it is kept.
    """

    slug = "host.brake"
    title = "brake: is this one host's failure, or does too much look dead?"
    reads_only = True

    def __init__(self, host: str, most_down: float, most_hosts: int, hours: float, override: str) -> None:
        super().__init__(host, why=f"overridden: {override}" if override else "")
        self.most_down = most_down
        self.most_hosts = most_hosts
        self.hours = hours
        self.override = override

    def observe(self, cloud: Cloud) -> Seen:
        """Count. Raises NeedsHands naming every limit that is passed."""
        services = reads.compute_services(cloud)
        passed = [*self._controllers(services), *self._shares(cloud, services), *self._lately(cloud, services)]
        computes = [row for row in services if row["binary"] == "nova-compute"]
        counted = {"hosts": len(computes), "down": sorted(row["host"] for row in computes if row["state"] != "up")}
        if passed and not self.override:
            raise NeedsHands(
                f"the brake holds: {'; '.join(passed)}; if {self.target} is to be evacuated all the same, run again "
                "with --override-brake and your reason"
            )
        return Done({**counted, "passed": passed, "override": self.override})

    @staticmethod
    def _controllers(services: Iterable[Row]) -> list[str]:
        up = {row["binary"] for row in services if row["state"] == "up"}
        return [f"no {name} is up" for name in ("nova-conductor", "nova-scheduler") if name not in up]

    def _shares(self, cloud: Cloud, services: Iterable[Row]) -> list[str]:
        computes = [
            row
            for row in services
            if row["binary"] == "nova-compute" and (row["status"] == "enabled" or row["host"] == self.target)
        ]
        state = {row["host"]: row["state"] for row in computes}
        zone = {row["host"]: row["zone"] for row in computes}
        groups: dict[str, list[str]] = defaultdict(list)
        groups["the cloud"] = list(state)
        groups[f"zone {zone.get(self.target)}"] = [host for host in state if zone[host] == zone.get(self.target)]
        for row in reads.aggregates(cloud):
            if self.target in row["hosts"]:
                groups[f"aggregate {row['name']}"] = [host for host in row["hosts"] if host in state]
        passed = []
        for name, hosts in groups.items():
            down = [host for host in hosts if state[host] != "up" or host == self.target]
            if len(down) > max(1, int(self.most_down * len(hosts))):
                passed.append(f"{len(down)} of {len(hosts)} hosts of {name} are down ({', '.join(sorted(down)[:5])})")
        return passed

    def _lately(self, cloud: Cloud, services: Iterable[Row]) -> list[str]:
        # Nova's own clock: the newest heartbeat of all.
        beats = [moment for row in services if (moment := reads.openstack_time(row["updated_at"]))]
        if not beats:
            return ["nova shows no heartbeat at all"]
        since = max(beats) - timedelta(hours=self.hours)
        found = {
            row["source_compute"]
            for row in reads.migrations(cloud, migration_type="evacuation")
            if (begun := reads.openstack_time(row["created_at"])) and begun >= since
        }
        others = sorted(found - {self.target})
        if len(others) < self.most_hosts:
            return []
        return [f"{len(others)} other hosts were evacuated in the last {self.hours:g} h ({', '.join(others[:5])})"]


class HostDead(Wait):
    """Nova counts the host as down, and at least one more witness says so too. Undo: nothing to undo.

    Witnesses: the host's neutron agents, its SSH port, its power (where the inventory names a fence agent),
    and an operator's: that it was fenced, or that it is dead. Only the latter outweighs witnesses that see the
    host alive; then its SSH port and its power are not asked.
    """

    slug = "host.dead"
    title = "evidence: nova-compute is down, and another witness agrees"

    def __init__(self, host: str, seconds: float, statement: str, fenced: str = "") -> None:
        super().__init__(host, seconds, why=f"stated: {statement}" if statement else "")
        self.statement = statement
        self.fenced = fenced

    def confirm(
        self, record: Record, journal: Journal, cloud: Cloud, polls: Polls, fences: Fences, ssh: Ssh
    ) -> Evidence:
        """Wait until the witnesses agree. Raises NeedsHands at the deadline with what each of them says."""
        deadline = time.monotonic() + self.seconds
        while True:
            service = polls.computes.look(self.target) or {}
            dead, alive = self._witnesses(cloud, fences, ssh)
            down = service.get("state") == "down"
            if down and dead and (self.statement or not alive):
                return {"nova": f"down, last heard of {service.get('updated_at')}", "dead": dead, "alive": alive}
            if time.monotonic() >= deadline:
                raise NeedsHands(
                    f"{self.target} is not proved to be dead: nova-compute is {service.get('state', 'unknown')}; "
                    f"for it: {', '.join(dead) or 'nobody'}; against it: {', '.join(alive) or 'nobody'}; "
                    "if you know that it is, run again with --dead and how you know"
                )
            journal.pause(_LOOK_EVERY)

    def _witnesses(self, cloud: Cloud, fences: Fences, ssh: Ssh) -> tuple[list[str], list[str]]:
        said = [statement for statement in (self.statement, self.fenced) if statement]
        dead, alive = [f"an operator: {statement}" for statement in said], []
        agents = [row for row in reads.network_agents(cloud) if row["host"] == self.target]
        beating = [row["binary"] for row in agents if row["alive"]]
        if beating:
            alive.append(f"{beating[0]} reports to neutron")
        elif agents:
            dead.append("its neutron agents are silent")
        if self.statement:
            # It outweighs the others: to wait for what a silent host does not say would lengthen the outage.
            return dead, alive
        known = fences.inventory.host(self.target)
        seen = self._seen(ssh, known.address, known.port) if known.address != self.target else ""
        if seen == GREETS:
            alive.append(f"SSH answers at {known.address}")
        if seen == SILENT:
            dead.append(f"SSH is silent at {known.address}")
        if fences.agent(self.target):
            dead += self._power_off(fences)
        return dead, alive

    @staticmethod
    def _seen(ssh: Ssh, address: str, port: int) -> str:
        # What refuses is a kernel that runs: no witness for death, and none for a life worth keeping.
        try:
            return ssh.presence(address, port or None)
        except HostUnreachable:
            return ""

    def _power_off(self, fences: Fences) -> list[str]:
        # Power that is on proves nothing: a host can hang. Nor does a controller that is silent.
        try:
            return ["its power is off"] if fences.power(self.target) == OFF else []
        except HostUnreachable:
            return []
