"""Nova: servers; guests live in the memory of the compute processes."""

from collections.abc import Iterable

from stackmend.lab.openstack.daemon import Daemon, Rpc
from stackmend.lab.openstack.services.base import STORES, Command, Config, Endpoint, Service
from stackmend.lab.openstack.site import CONTROLLER

COMPUTE = "nova-compute"


def compute_process(host: str) -> str:
    """Name of the process that is nova-compute on a host."""
    return f"{COMPUTE}@{host}"


class Nova(Service):
    """API, conductor, scheduler, and a compute process for each host."""

    name = "nova"
    word = "compute"
    api = "nova-api"
    databases = ("nova_api", "nova_cell0", "nova")
    endpoints = (Endpoint("compute", "nova", "/v2.1"),)

    def directories(self) -> Iterable[str]:
        """Locks, and each host's own state."""
        hosts = [f"nova/{host}/{part}" for host in self.site.hosts for part in ("instances", "lock")]
        return ("nova/lock", *hosts)

    def configs(self) -> Iterable[Config]:
        """The controller's file, and one for each host."""
        yield Config("nova/nova.conf")
        for host in self.site.hosts:
            yield Config("nova/compute.conf", f"nova/{host}.conf", {"host": host})

    def sync(self) -> list[Command]:
        """The tables of the API and of both cells, and the cells themselves."""
        manage = self.manage()
        return [
            (*manage, "api_db", "sync"),
            (*manage, "cell_v2", "map_cell0", "--database_connection", self.site.database("nova_cell0")),
            (*manage, "db", "sync"),
            (*manage, "cell_v2", "create_cell", "--name", "cell1"),
        ]

    def manage(self) -> Command:
        """nova-manage with its configuration."""
        return (self.site.program("nova-manage"), *self.configured("nova.conf"))

    def daemons(self) -> list[Daemon]:
        """All of them."""
        paste = f"{self.site.venv}/etc/nova/api-paste.ini"
        env = {"OS_NOVA_CONFIG_DIR": self.etc(""), "OS_NOVA_CONFIG_FILES": f"{paste};nova.conf"}
        files = self.configured("nova.conf")
        return [
            # Ahead of the bus: a compute process that asks it in vain asks again ten seconds later.
            self._controller("nova-conductor", files, "conductor", after=("mariadbd",)),
            *(self._compute(host) for host in self.site.hosts),
            self._controller("nova-scheduler", files, "scheduler"),
            self.wsgi("nova.wsgi.osapi_compute:application", env),
        ]

    def _controller(self, program: str, files: Command, topic: str, after: tuple[str, ...] = STORES) -> Daemon:
        rpc = Rpc("nova", topic, CONTROLLER)
        return self.worker(program, *files, after=after, heartbeat=f"{program}@{CONTROLLER}", rpc=rpc)

    def _compute(self, host: str) -> Daemon:
        command = (self.site.program(COMPUTE), *self.configured(f"{host}.conf"))
        needs = (*STORES, "keystone", "placement")
        name = compute_process(host)
        return Daemon(name, command, after=needs, heartbeat=name, rpc=Rpc("nova", "compute", host))
