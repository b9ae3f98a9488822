"""Power for the whole place: everything dies at once, and comes back but for what is told to stay away."""

from collections.abc import Iterable

from stackmend.lab.openstack.cluster import Cluster
from stackmend.lab.openstack.faults import Faults
from stackmend.lab.openstack.services.neutron import AGENT
from stackmend.lab.openstack.services.nova import compute_process


class Power:
    """The mains of one cluster."""

    def __init__(self, cluster: Cluster, faults: Faults) -> None:
        self._cluster = cluster
        self._faults = faults

    def cut(self, hosts: Iterable[str]) -> list[str]:
        """Cut the power of hosts, or (none given) of every process; returns the ids of the servers that ran there."""
        chosen = list(hosts)
        lost = self._faults.guests(chosen or self._cluster.site.hosts)
        if chosen:
            self._faults.power_off(chosen)
        else:
            self._cluster.processes.kill(*self._cluster.daemons)
        return lost

    def restore(self, hosts: Iterable[str], without: Iterable[str]) -> list[str]:
        """Give power to hosts, or (none given) to everything; returns the hosts that have it.

        ``without``: words of services, hosts, processes (``cinder-volume``), or processes on one host
        (``nova-compute@c02.example.com``); they stay away until a later call names them.
        """
        chosen, kept_off = list(hosts), set(without)
        on = [host for host in chosen or self._cluster.site.hosts if host not in kept_off]
        if chosen and not kept_off:
            self._faults.power_on(on)
            return on
        for host in self._cluster.site.hosts:
            if {AGENT, f"{AGENT}@{host}", host} & kept_off:
                self._faults.silence(host)
            elif host in on:
                self._faults.speak(host)
        names = [compute_process(host) for host in on] if chosen else self._cluster.daemons
        self._cluster.start([name for name in names if not self._stays_off(name, kept_off)])
        return on

    def _stays_off(self, name: str, kept_off: set[str]) -> bool:
        binary, _, host = name.partition("@")
        named = {name, binary, host, *(word for word, process in self._cluster.words.items() if process == name)}
        return bool(named & kept_off)
