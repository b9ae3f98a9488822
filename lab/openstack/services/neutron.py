"""Neutron: networks and ports; the L2 agents of the hosts are stand-ins."""

from collections.abc import Iterable
from pathlib import Path

from stackmend.lab.openstack.daemon import Daemon, Rpc
from stackmend.lab.openstack.services.base import STORES, Command, Config, Endpoint, Service
from stackmend.lab.openstack.site import CONTROLLER

AGENT = "neutron-openvswitch-agent"
# The one process that speaks for all of them.
AGENTS = "l2-agents"
_SCRIPT = Path(__file__).parents[1] / "inside" / "l2_agents.py"


class Neutron(Service):
    """API, RPC server, periodic work, and one process that speaks for the agent of each host."""

    name = "neutron"
    word = "network"
    api = "neutron-api"
    databases = ("neutron",)
    endpoints = (Endpoint("network", "neutron"),)

    def directories(self) -> Iterable[str]:
        """Locks."""
        return ("neutron/lock",)

    def configs(self) -> Iterable[Config]:
        """The server and its ML2 plugin."""
        return (Config("neutron/neutron.conf"), Config("neutron/ml2_conf.ini"))

    def sync(self) -> list[Command]:
        """Its tables."""
        return [(self.site.program("neutron-db-manage"), *self._files, "upgrade", "heads")]

    @property
    def _files(self) -> Command:
        return self.configured("neutron.conf", "ml2_conf.ini")

    def daemons(self) -> list[Daemon]:
        """All of them."""
        env = {"OS_NEUTRON_CONFIG_DIR": self.etc(""), "OS_NEUTRON_CONFIG_FILES": "neutron.conf;ml2_conf.ini"}
        rpc = Rpc("neutron", "q-plugin", CONTROLLER)
        return [
            self.wsgi("neutron.wsgi.api:application", env),
            self.worker("neutron-rpc-server", *self._files, rpc=rpc),
            self.worker("neutron-periodic-workers", *self._files),
            self._agents(),
        ]

    def _agents(self) -> Daemon:
        command = (self.site.program("python"), str(_SCRIPT), *self._files)
        env = {
            "LAB_HOSTS": " ".join(self.site.hosts),
            "LAB_SILENT": str(self.site.run / "silent"),
            "LAB_DATABASE": self.site.database("neutron"),
        }
        return Daemon(AGENTS, command, env, after=STORES)
