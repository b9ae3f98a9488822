"""The processes of one site together: which there are, and how they start, settle and stop."""

from collections.abc import Iterable
from pathlib import Path

from stackmend.lab.openstack import health
from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.processes import RUNNING, Processes
from stackmend.lab.openstack.rendering import write
from stackmend.lab.openstack.services import services
from stackmend.lab.openstack.services.neutron import AGENT
from stackmend.lab.openstack.site import Site
from stackmend.lab.openstack.starting import Start

_SETTLE = 90.0
_STORES = ("rabbitmq", "epmd", "mariadbd")


class Cluster:
    """Every service of a site, with the extras asked for."""

    def __init__(self, site: Site, extras: Iterable[str] = ()) -> None:
        self.site = site
        self.services = services(site, extras)
        self.processes = Processes(site.run, site.logs, site.environment())
        self.daemons: dict[str, Daemon] = {
            daemon.name: daemon for service in self.services for daemon in service.daemons()
        }

    def configure(self) -> None:
        """Write every file that the processes read."""
        for directory in (self.site.home, self.site.etc / "empty", self.silent, self.slow, self.site.logs):
            directory.mkdir(parents=True, exist_ok=True)
        for service in self.services:
            service.prepare()
        write(self.site, "clients/clouds.yaml", self.site.clouds_yaml)

    def start(self, names: Iterable[str] = ()) -> None:
        """Start these processes (none given: all) and return when they work: APIs answer, services have
        reported and answer over RPC. LabError names the one that doesn't.
        """
        chosen = [self.daemons[name] for name in names] or list(self.daemons.values())
        before = health.heartbeats(self.site)
        Start(self.processes, chosen).run()
        self.settled(chosen, before)

    def settled(self, daemons: Iterable[Daemon], before: dict[str, str]) -> None:
        """Wait until each has reported since ``before`` was read, and answers over RPC."""
        names = [daemon.heartbeat for daemon in daemons if daemon.heartbeat]
        if any(daemon.name == "l2-agents" for daemon in daemons):
            names += [f"{AGENT}@{host}" for host in self.site.hosts if not self.is_silent(host)]
        servers = [daemon.rpc for daemon in daemons if daemon.rpc]
        if names:
            health.reported(self.site, names, before, _SETTLE)
        if servers:
            health.pinged(self.site, servers, _SETTLE)

    def stop(self) -> None:
        """End every process: those that need the stores first."""
        self.processes.stop(*(name for name in self.daemons if name not in _STORES))
        for name in _STORES:
            self.processes.stop(name, patience=30)

    def running(self) -> list[str]:
        """The names of the processes that are there and not paused."""
        return [name for name in self.daemons if self.processes.state(name) == RUNNING]

    @property
    def silent(self) -> Path:
        """The directory in which a file silences its host's L2 agent."""
        return self.site.run / "silent"

    @property
    def slow(self) -> Path:
        """The directory in which a file slows its API."""
        return self.site.run / "slow"

    def is_silent(self, host: str) -> bool:
        """Whether a host's L2 agent has been silenced."""
        return (self.silent / host).exists()
