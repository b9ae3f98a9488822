"""What is interrupted: each procedure on a small cloud, from what happened there to what the operator then types."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from desk import quick
from living import LivingDesk, asked

HOST, TO = "sim-c01", "sim-c02"


@dataclass(frozen=True)
class Scenario:
    """``seed``: hosts and servers, whose guests run; ``begin`` lets it happen, and returns what is typed after `run`.

    ``reverted``: the same once it has come to its end, taken back. ``gives_way``: what comes about instead of an effect
    that the cloud refuses for good, of the same server.
    """

    seed: dict[str, Any]
    begin: Callable[[LivingDesk], list[str]]
    reverted: bool = False
    gives_way: Mapping[str, Sequence[str]] = field(default_factory=dict)


def _power_lost(desk: LivingDesk) -> list[str]:
    """Every kind of repair: an attachment brought back, a status reset, a stuck task cleared, a disk attached again."""
    before = desk.path("before.json")
    ended = desk.stackmend("capture", "power-loss", "-o", before)
    assert ended.code == 0, ended.err
    desk.cloud.power_cut()
    desk.cloud.power_on()
    for kind, target in (
        ("volume-attachments-deleted", desk.volumes["db-root"]),
        ("volume-available-detached", desk.volumes["db-data"]),
        ("volume-attachments-deleted", desk.volumes["web-data"]),
        ("server-stuck-powering-off", desk.servers["web"]),
    ):
        desk.cloud.damage(kind, target)
    return ["power-loss", "--capture", before, *quick()]


_LOST = {
    "hosts": 2,
    "servers": [
        {"name": "db", "host": HOST, "root": "volume", "volumes": [{"name": "db-data", "tag": "data"}]},
        {
            "name": "web",
            "host": TO,
            "volumes": [{"name": "web-data", "delete_on_termination": True}],
            "metadata": {"stackmend:after": "db", "stackmend:ssh-reboot": "true"},
            "ssh": True,
        },
        {"name": "idle", "host": HOST, "status": "SHUTOFF", "volumes": [{"name": "idle-data"}]},
    ],
}


def _crashed(desk: LivingDesk) -> list[str]:
    desk.crashes(HOST)
    return ["evacuate-host", HOST, *asked("evacuate-host", {})]


def _evacuated(desk: LivingDesk) -> list[str]:
    """All but one server have left the host, and it is held; its nova-compute will not start by itself."""
    desk.on_host(HOST, "systemctl mask nova-compute")
    desk.crashes(HOST)
    ended = desk.do("evacuate-host", HOST, exclude="web")
    assert ended.code == 0, ended.err
    desk.cloud.host(HOST, "join")
    for file in desk.directory.glob("runs.sqlite*"):
        file.unlink()
    return ["host-return", HOST, *asked("host-return", {"compute_timeout": 10, "power_timeout": 5})]


_DEAD = {
    "hosts": 2,
    "servers": [
        {"name": "db", "host": HOST, "root": "volume", "volumes": [{"name": "db-data"}]},
        {"name": "web", "host": HOST, "root": "volume", "metadata": {"stackmend:after": "db"}},
        {"name": "idle", "host": HOST, "root": "volume", "status": "SHUTOFF"},
    ],
}


def _died(desk: LivingDesk) -> list[str]:
    desk.dies(HOST)
    return ["relocate-host", HOST, *asked("relocate-host", {"to": TO})]


_MOVED = {
    "hosts": 2,
    "servers": [
        {"name": "db", "host": HOST, "root": "volume"},
        {"name": "idle", "host": HOST, "root": "volume", "status": "SHUTOFF"},
        {"name": "peer", "host": TO, "root": "volume"},
    ],
}


def _maintained(_: LivingDesk) -> list[str]:
    return ["host-maintenance", HOST, "--to", TO, "--home", "--move-stopped"]


def _migrated(_: LivingDesk) -> list[str]:
    return ["migrate-servers", "--host", HOST, "--to", TO]


# The ladder's next rung.
_COLD = {"server.migrateLive": ("server.migrate", "guest.boot", "server.confirmResize")}
_PLANNED = {
    "hosts": 3,
    "servers": [
        {"name": "db", "host": HOST, "root": "volume"},
        {"name": "idle", "host": HOST, "status": "SHUTOFF"},
    ],
}


def _again(_: LivingDesk) -> list[str]:
    return ["reattach-volumes", "--again", "-p", "boot_timeout=10", "-p", "attach_timeout=10"]


_DISKS = {
    "hosts": 2,
    "servers": [
        {"name": "db", "host": HOST, "root": "volume", "volumes": [{"name": "db-data", "tag": "data"}]},
        {"name": "web", "host": TO, "volumes": [{"name": "web-data"}, {"name": "web-log"}]},
    ],
}

SCENARIOS = {
    "power-loss": Scenario(_LOST, _power_lost),
    "evacuate-host": Scenario(_DEAD, _crashed),
    "host-return": Scenario(_DEAD, _evacuated),
    "relocate-host": Scenario(_MOVED, _died),
    "host-maintenance": Scenario(_PLANNED, _maintained, gives_way=_COLD),
    "host-maintenance, reverted": Scenario(_PLANNED, _maintained, reverted=True),
    "migrate-servers": Scenario(_PLANNED, _migrated),
    "migrate-servers, reverted": Scenario(_PLANNED, _migrated, reverted=True),
    "reattach-volumes": Scenario(_DISKS, _again),
}
