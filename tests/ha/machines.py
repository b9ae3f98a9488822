"""The machines of a cluster: each on one bridge, with a disk that outlives its power."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hosts.nspawn import Machine, debian, missing

from stackmend.lab.control import SimulatedCloud

BRIDGE, CONTROLLER = "ha0", "10.77.0.254"
# In Debian pacemaker and pacemaker-remote exclude each other: a root file system each.
_COMMON = "systemd,systemd-sysv,dbus,openssh-server,procps,sudo,resource-agents"
_CLUSTER = f"{_COMMON},corosync,pacemaker,pacemaker-cli-utils,fence-agents,python3-requests"
_REMOTE = f"{_COMMON},pacemaker-remote"
_NETWORK = 'chroot "$1" systemctl enable systemd-networkd.service'
_ADDRESS = "[Match]\nName=host0\n\n[Network]\nAddress={}/24\nLinkLocalAddressing=no\n"


def cluster_root() -> Path:
    """The root file system of the nodes that make the cluster."""
    return debian(_CLUSTER, _NETWORK)


def remote_root() -> Path:
    """That of a remote node."""
    return debian(_REMOTE, _NETWORK)


class Node(Machine):
    """A machine of the cluster, by the name that Pacemaker has for it."""

    def __init__(self, directory: Path, root: Path, node: str, address: str) -> None:
        directory.mkdir()
        self.address, self.node = address, node
        super().__init__(directory)
        self.disk = _disk(directory, root)
        self.put("/etc/systemd/network/10-host0.network", _ADDRESS.format(address))

    @property
    def on(self) -> bool:
        """Whether it has power."""
        return self._process is not None

    def put(self, path: str, text: str, mode: str = "644", owner: str = "root:root") -> None:
        """Put a file on its disk; it need not run."""
        place = self.disk / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        for command in (["chown", owner], ["chmod", mode]):
            subprocess.run(["chroot", str(self.disk), *command, path], check=True)

    def unmount(self) -> None:
        """Its disk is not needed any more."""
        subprocess.run(["umount", str(self.disk)], check=True)

    def _own(self) -> list[str]:
        return [f"--directory={self.disk}", f"--network-bridge={BRIDGE}"]


class Compute(Node):
    """A compute host. Its guests are the cloud's, which simulates them; they live and die with its power."""

    def __init__(self, directory: Path, node: str, address: str, cloud: SimulatedCloud) -> None:
        super().__init__(directory, remote_root(), node, address)
        self._cloud = cloud

    def switch_on(self) -> None:
        """Its nova-compute is for its systemd to start."""
        self._cloud.power_on(hosts=[self.node], without=[f"nova-compute@{self.node}"])
        super().switch_on()

    def end(self) -> None:
        """Nobody is left who could tell the cloud."""
        super().end()
        self._cloud.host(self.node, "power-off")


@contextmanager
def bridge() -> Iterator[None]:
    """What connects the machines with each other and with those who run the cloud."""
    # An address of its own: else it has that of a machine, and another one when that dies, which nobody is told of.
    _ip("link", "add", BRIDGE, "address", "02:00:0a:4d:00:fe", "type", "bridge")
    try:
        _ip("address", "add", f"{CONTROLLER}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        yield
    finally:
        _ip("link", "delete", BRIDGE)


@contextmanager
def forwarded(port: int, url: str) -> Iterator[None]:
    """A port of our end of the bridge that leads to a URL's on loopback."""
    to = url.removeprefix("http://").partition("/")[0]
    command = ["systemd-socket-activate", f"--listen={CONTROLLER}:{port}", "/lib/systemd/systemd-socket-proxyd", to]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def accepts(port: int) -> bool:
    """Whether somebody listens at our end of the bridge."""
    with socket.socket() as probe:
        return probe.connect_ex((CONTROLLER, port)) == 0


def _disk(directory: Path, root: Path) -> Path:
    disk, changed, work = (directory / name for name in ("disk", "changed", "work"))
    for place in (disk, changed, work):
        place.mkdir()
    layers = f"lowerdir={root},upperdir={changed},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(disk)], check=True)
    return disk


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    if what := missing():
        sys.exit(what)
    # Made ahead, while there is a network to fetch Debian from.
    cluster_root()
    remote_root()
