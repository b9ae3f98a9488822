"""What can be done to a running lab: hosts and services that die, hang, hear nothing, answer late and come back."""

from collections.abc import Callable, Iterable, Mapping

from stackmend.errors import BadInput
from stackmend.lab.openstack import health
from stackmend.lab.openstack.cluster import Cluster
from stackmend.lab.openstack.processes import PAUSED
from stackmend.lab.openstack.services.neutron import AGENT
from stackmend.lab.openstack.services.nova import compute_process
from stackmend.lab.openstack.site import CONTROLLER

_GUESTS = "SELECT uuid FROM nova.instances WHERE deleted = 0 AND vm_state = 'active' AND host = :host"


class Faults:
    """The switches of one cluster. Whatever brings something back returns when that works."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._processes = cluster.processes
        self._host_verbs: Mapping[str, Callable[[str, str], None]] = {
            "kill": self._kill,
            "start": self._start,
            "partition": lambda host, _binary: self._partition(host),
            "join": lambda host, _binary: self._join(host),
            "power-off": lambda host, _binary: self.power_off([host]),
            "power-on": lambda host, _binary: self.power_on([host]),
        }

    @property
    def host_verbs(self) -> tuple[str, ...]:
        """What can be done to a host."""
        return tuple(self._host_verbs)

    def host(self, name: str, do: str, binary: str) -> None:
        """Do one thing to a host; BadInput for a word that nothing is known by."""
        hosts = (*self._cluster.site.hosts, CONTROLLER)
        if name not in hosts:
            raise BadInput(f"the lab has no host {name}; it has {', '.join(hosts)}")
        if do not in self._host_verbs:
            raise BadInput(f"nothing is known as {do!r} of a host; one of {', '.join(self._host_verbs)}")
        if name == CONTROLLER and do not in ("kill", "start"):
            raise BadInput(f"{CONTROLLER} can't {do}: only its processes, with kill and start, or power_cut() of all")
        self._host_verbs[do](name, binary)

    def alive(self, host: str) -> bool:
        """Whether a host's nova-compute runs and is heard."""
        return host != CONTROLLER and self._cluster.works(compute_process(host))

    def _kill(self, host: str, binary: str) -> None:
        if binary == AGENT:
            self.silence(host)
        else:
            self._processes.kill(self._process(host, binary))

    def _start(self, host: str, binary: str) -> None:
        if binary == AGENT:
            self._hear([host])
        else:
            self._cluster.start([self._process(host, binary)])

    def _process(self, host: str, binary: str) -> str:
        name = binary if host == CONTROLLER else f"{binary}@{host}"
        if name not in self._cluster.daemons:
            known = [daemon.partition("@")[0] for daemon in self._cluster.daemons if daemon.partition("@")[2] == host]
            known = [*known, AGENT] if host != CONTROLLER else [*self._cluster.daemons]
            raise BadInput(f"there is no {binary} on {host}; there is {', '.join(known)}")
        return name

    def _partition(self, host: str) -> None:
        """It hears and says nothing; its guests go on."""
        self._processes.pause(compute_process(host))
        self.silence(host)

    def _join(self, host: str) -> None:
        before = health.heartbeats(self._cluster.site)
        compute = compute_process(host)
        paused = self._processes.state(compute) == PAUSED
        self._processes.resume(compute)
        self.speak(host)
        self._settle([compute] if paused else [], [host], before)

    def power_off(self, hosts: Iterable[str]) -> None:
        """Hosts lose their power: their guests are gone."""
        for host in hosts:
            self._processes.kill(compute_process(host))
            self.silence(host)

    def power_on(self, hosts: Iterable[str]) -> None:
        """Hosts have power again: nova-compute and the agent run, guests don't."""
        on = list(hosts)
        self._cluster.start(map(compute_process, on))
        self._hear(on)

    def silence(self, host: str) -> None:
        """Its L2 agent says nothing from now on."""
        (self._cluster.silent / host).touch()

    def speak(self, host: str) -> None:
        """Its L2 agent speaks again, soon."""
        (self._cluster.silent / host).unlink(missing_ok=True)

    def _hear(self, hosts: list[str]) -> None:
        before = health.heartbeats(self._cluster.site)
        for host in hosts:
            self.speak(host)
        self._settle([], hosts, before)

    def _settle(self, names: list[str], hosts: list[str], before: dict[str, str]) -> None:
        """Wait for reports of processes, and of the agents of hosts."""
        self._cluster.settled([self._cluster.daemons[name] for name in names], before, hosts)

    def guests(self, hosts: Iterable[str]) -> list[str]:
        """Ids of the servers that nova believes to run on hosts."""
        site = self._cluster.site
        return [str(row[0]) for host in hosts for row in health.rows(site, _GUESTS, host=host)]

    def slow(self, api: str, seconds: float) -> None:
        """Let an API answer late; 0 ends it."""
        file = self._cluster.slow / api
        if seconds:
            file.write_text(str(seconds), encoding="ascii")
        else:
            file.unlink(missing_ok=True)
