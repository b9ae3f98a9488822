"""Power for the whole place or some hosts, and single services going away and coming back."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.hypervisors import CONTROLLER

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


async def cut(cloud: "Cloud", hosts: Iterable[str]) -> dict[str, Any]:
    """Cut the power of these hosts, or of everything: then no guest runs and no API answers.

    The rows still say what they said. Returns {"guests": ids of the servers whose guests were lost}.
    """
    chosen = list(hosts)
    if not chosen:
        cloud.journal.effect("power.cut", "everything")
        for name in cloud.listeners.names():
            await cloud.listeners[name].close()
        chosen = _all_hosts(cloud)
    lost: list[str] = []
    for host in chosen:
        if cloud.hypervisors.powered(host):
            lost += cloud.hypervisors.power_off(host)
    return {"guests": lost}


async def restore(cloud: "Cloud", hosts: Iterable[str], without: Iterable[str]) -> dict[str, Any]:
    """Give power to these hosts, or to everything, except what ``without`` names.

    ``without``: services (``volume``), hosts (``sim-c02``), processes everywhere (``cinder-volume``) or on
    one host (``nova-compute@sim-c02``). They come back by a later call, ``host`` or ``service``.
    """
    kept_off = set(without)
    chosen = list(hosts)
    if not chosen:
        cloud.journal.effect("power.on", "everything", without=sorted(kept_off))
        chosen = _all_hosts(cloud)
        for name in cloud.listeners.names():
            if name not in kept_off:
                await cloud.listeners[name].open()
    on = [host for host in chosen if host not in kept_off and not cloud.hypervisors.powered(host)]
    for host in on:
        binaries = {name.partition("@")[0] for name in kept_off if name.partition("@")[2] in ("", host)}
        cloud.hypervisors.power_on(host, tuple(binaries))
    return {"hosts": on, "services": cloud.listeners.open_names()}


def _all_hosts(cloud: "Cloud") -> list[str]:
    return [CONTROLLER, *cloud.hypervisors.names()]


async def switch_service(cloud: "Cloud", name: str, *, up: bool) -> dict[str, Any]:
    """Open or close the port of one API; KeyError when there is no such service."""
    if name not in cloud.listeners.names():
        raise KeyError(f"there is no service {name}; there are {', '.join(cloud.listeners.names())}")
    listener = cloud.listeners[name]
    await (listener.open() if up else listener.close())
    return {"services": cloud.listeners.open_names()}


def switch_host(cloud: "Cloud", name: str, do: str, binary: str = "nova-compute") -> dict[str, Any]:
    """Do one thing to a host: kill or start a process, partition or join it, switch its power.

    KeyError when there is no such host, ValueError for an unknown verb.
    """
    hypervisors = cloud.hypervisors
    hypervisors.powered(name)
    verbs: dict[str, Callable[[], object]] = {
        "kill": lambda: hypervisors.stop_process(name, binary),
        "start": lambda: hypervisors.start_process(name, binary),
        "partition": lambda: hypervisors.partition(name, on=True),
        "join": lambda: hypervisors.partition(name, on=False),
        "power-off": lambda: hypervisors.power_off(name),
        "power-on": lambda: hypervisors.power_on(name),
    }
    if do not in verbs:
        raise ValueError(f"nothing is known as {do!r} of a host; one of {', '.join(verbs)}")
    verbs[do]()
    return {"name": name, "compute_alive": hypervisors.alive(name)}


def state(cloud: "Cloud") -> dict[str, Any]:
    """The truth behind the APIs: hosts, processes, guests, open services."""
    lab = cloud.lab
    return {
        "services": cloud.listeners.open_names(),
        "hosts": {row["name"]: dict(row) for row in lab.all("SELECT * FROM hosts")},
        "processes": [dict(row) for row in lab.all("SELECT * FROM processes")],
        "guests": {f"{row['uuid']}@{row['host']}": dict(row) for row in lab.all("SELECT * FROM guests")},
    }
