"""Where one lab's files are, which ports it has, and the addresses that follow from them."""

import getpass
import grp
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackmend.errors import BadInput
from stackmend.lab.openstack.releases import Release

ADDRESS = "127.0.0.1"
REGION = "RegionOne"
PASSWORD = "lab"
CONTROLLER = "ctl.example.com"
HOSTS = ("c01.example.com", "c02.example.com", "c03.example.com")
DEFAULT_PORT_BASE = 25000

# From the port base: the last two digits are those of the usual port.
_OFFSETS = {
    "keystone": 0,
    "mariadbd": 6,
    "aodh-api": 42,
    "masakari-api": 68,
    "epmd": 69,
    "rabbitmq": 72,
    "rabbitmq-distribution": 73,
    "nova-api": 74,
    "cinder-api": 76,
    "placement": 78,
    "mistral-api": 89,
    "glance-workers": 91,
    "glance-api": 92,
    "neutron-api": 96,
}
_LAST = max(_OFFSETS.values())


@dataclass(frozen=True)
class Site:
    """One lab: its directory, the environment its services run from, and its ports.

    ``venv`` holds the release's wheels, ``broker`` is the directory of RabbitMQ's commands. ``variables`` are for the
    processes of the extra services alone: where they find what is plugged into them.
    """

    directory: Path
    venv: Path
    broker: Path
    release: Release
    port_base: int = DEFAULT_PORT_BASE
    hosts: tuple[str, ...] = HOSTS
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1024 <= self.port_base <= 65535 - _LAST:
            raise BadInput(f"port base {self.port_base} is not between 1024 and {65535 - _LAST}")

    @property
    def etc(self) -> Path:
        """Configuration, rewritten at each start."""
        return self.directory / "etc"

    @property
    def data(self) -> Path:
        """What the services store: the one part that makes a state."""
        return self.directory / "data"

    @property
    def run(self) -> Path:
        """Process ids and switches."""
        return self.directory / "run"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.directory / "logs"

    @property
    def home(self) -> Path:
        """The home directory of every process."""
        return self.directory / "home"

    @property
    def clouds_yaml(self) -> Path:
        """Credentials for clients: the clouds ``lab`` (admin) and ``lab-member``."""
        return self.etc / "clouds.yaml"

    @property
    def user(self) -> str:
        """Whom the processes run as: whoever starts them."""
        return getpass.getuser()

    @property
    def group(self) -> str:
        """That user's group."""
        return grp.getgrgid(os.getgid()).gr_name

    @property
    def ports(self) -> Mapping[str, int]:
        """Port by process name."""
        return {name: self.port_base + offset for name, offset in _OFFSETS.items()}

    def url(self, name: str) -> str:
        """Base URL of the API that the process ``name`` serves."""
        return f"http://{ADDRESS}:{self.ports[name]}"

    @property
    def auth_url(self) -> str:
        """Identity, version 3."""
        return self.url("keystone") + "/v3"

    @property
    def transport_url(self) -> str:
        """RabbitMQ, as oslo.messaging wants it."""
        return f"rabbit://guest:guest@{ADDRESS}:{self.ports['rabbitmq']}/"

    def database(self, name: str = "") -> str:
        """SQLAlchemy URL of one database, or of the server."""
        return f"mysql+pymysql://lab:{PASSWORD}@{ADDRESS}:{self.ports['mariadbd']}/{name}?charset=utf8mb4"

    def program(self, name: str) -> str:
        """Path of a command of the release."""
        return str(self.venv / "bin" / name)

    def environment(self) -> dict[str, str]:
        """What every process of the lab starts with: nothing of the caller's own."""
        return {
            "PATH": f"{self.venv}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            # Beside the environment: what stevedore found in it is found once.
            "XDG_CACHE_HOME": f"{self.venv}/cache",
            "LANG": "C.UTF-8",
            "PYTHONWARNINGS": "ignore",
            "no_proxy": "*",
        }
