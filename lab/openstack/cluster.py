"""The processes of one site together: which there are, and how they start, settle and stop."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from stackmend.lab.openstack import health
from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.processes import RUNNING, STOPPED, Processes
from stackmend.lab.openstack.rendering import write
from stackmend.lab.openstack.services import EXTRAS, services
from stackmend.lab.openstack.services.base import STORES, Service
from stackmend.lab.openstack.services.neutron import AGENT, AGENTS
from stackmend.lab.openstack.site import Site
from stackmend.lab.openstack.starting import Start

_SETTLE = 120.0
_LAST_TO_STOP = ("rabbitmq", "epmd", "mariadbd")


class Cluster:
    """Every service of a site, with the extras asked for."""

    def __init__(self, site: Site, extras: Iterable[str] = ()) -> None:
        self.site = site
        self.services = services(site, extras)
        self.processes = Processes(site.run, site.logs, site.environment())
        self.daemons: dict[str, Daemon] = {
            daemon.name: daemon for service in self.services for daemon in self._daemons(service)
        }

    def _daemons(self, service: Service) -> list[Daemon]:
        daemons = service.daemons()
        if not isinstance(service, EXTRAS):
            return daemons
        return [replace(daemon, env={**daemon.env, **self.site.variables}) for daemon in daemons]

    def configure(self) -> None:
        """Write every file that the processes read."""
        for directory in (self.site.home, self.site.etc / "empty", self.silent, self.slow, self.site.logs):
            directory.mkdir(parents=True, exist_ok=True)
        for service in self.services:
            service.prepare()
        write(self.site, "clients/clouds.yaml", self.site.clouds_yaml)

    def start(self, names: Iterable[str]) -> None:
        """Start those of these processes that are stopped, and return when they work: APIs answer, services have
        reported and answer over RPC. LabError names the one that doesn't.
        """
        chosen = [self.daemons[name] for name in names if self.processes.state(name) == STOPPED]
        # First, and alone: what the others last reported is read from it.
        Start(self.processes, [daemon for daemon in chosen if daemon.name == "mariadbd"]).run()
        before = health.heartbeats(self.site)
        Start(self.processes, chosen).run()
        stores = {daemon.name for daemon in chosen} & set(STORES)
        self.settled([self.daemons[name] for name in self.running()] if stores else chosen, before)

    def settled(self, daemons: Iterable[Daemon], before: dict[str, str], agents: Iterable[str] = ()) -> None:
        """Wait until each has reported since ``before`` was read, and answers over RPC.

        ``agents``: the hosts whose L2 agents must have reported too. While the database or the bus is away,
        nothing can settle, and nothing is waited for.
        """
        if not all(self.works(name) for name in STORES):
            return
        waiting = list(daemons)
        if any(daemon.name == AGENTS for daemon in waiting):
            agents = [host for host in self.site.hosts if not self.is_silent(host)]
        reporting = [*(daemon.heartbeat for daemon in waiting if daemon.heartbeat)]
        reporting += [f"{AGENT}@{host}" for host in agents] if self.works(AGENTS) else []
        with health.pinged(self.site, [daemon.rpc for daemon in waiting if daemon.rpc], _SETTLE):
            health.reported(self.site, reporting, before, _SETTLE)

    def stop(self) -> None:
        """End every process: those that need the stores first."""
        self.processes.stop(*(name for name in self.daemons if name not in _LAST_TO_STOP))
        for name in _LAST_TO_STOP:
            self.processes.stop(name, patience=30)

    @property
    def words(self) -> dict[str, str]:
        """The process that answers for each service, by the word for it: ``compute`` for nova-api's."""
        return {service.word: service.api or service.name for service in self.services}

    def works(self, name: str) -> bool:
        """Whether a process is there and not paused."""
        return self.processes.state(name) == RUNNING

    def running(self) -> list[str]:
        """The names of the processes that work."""
        return [name for name in self.daemons if self.works(name)]

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
