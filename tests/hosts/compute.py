"""A cloud of which one host is a machine with a real systemd, and what is typed there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from calm import calm
from desk import Desk, Ended, MakeDesk
from hosts.nspawn import UNIT, Machine, booted, missing

HOST = "sim-c01"
PATIENCE = ("--compute-timeout", "10")
_QUICK = ("--ssh-timeout", "10", "--up-timeout", "10")
AWAY, BACK = ("inactive", "masked"), ("active", "enabled")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """The host, with nova-compute running."""
    if what := missing():
        pytest.fail(f"{what} (or leave these tests out: -m 'not hosts')")
    (tmp_path / "machine").mkdir()
    with booted(tmp_path / "machine") as found:
        found.service()
        found.sh(f"systemctl enable --now {UNIT}")
        yield found


@pytest.fixture
def town(make_desk: MakeDesk, machine: Machine) -> Desk:
    """A cloud of which one host, empty of servers, is that machine."""
    desk = calm(make_desk, hosts=2, servers=[{"name": "only", "host": "sim-c02"}])
    reach(desk, machine)
    url = desk.cloud.description["control_url"].removeprefix("http://")
    place, _, path = url.partition("/")
    machine.write("/etc/nova/cloud", f"{place.replace(':', ' ')} /{path} {HOST}\n")
    return desk


def reach(desk: Desk, machine: Machine, host: dict[str, Any] | None = None, **ssh: Any) -> None:
    """Say in settings and inventory where the machine is; ``host`` and ``ssh`` say it otherwise."""
    known = yaml.safe_load(Path(desk.cloud.description["inventory"]).read_text())
    known["hosts"][HOST] |= {"address": "127.0.0.1", "user": "root", "port": machine.port, **(host or {})}
    Path(desk.path("inventory.yaml")).write_text(yaml.safe_dump(known))
    desk.settings(inventory=desk.path("inventory.yaml"), settle=0.3, ssh={**machine.ssh, **ssh})


def setting(machine: Machine, *lines: str) -> None:
    """The unit is otherwise."""
    machine.service(*lines)
    machine.sh(f"systemctl restart {UNIT}")


def out(desk: Desk, *quick: str) -> Ended:
    """The first half."""
    return desk.stackmend("run", "host-maintenance", HOST, *words(*quick))


def words(*quick: str) -> list[str]:
    """What follows the host."""
    return ["--yes", "-f", "json", "--key", "work", *_QUICK, *quick]


def back(desk: Desk) -> Ended:
    """The second half."""
    assert desk.stackmend("approve", "work", "--reason", "done").code == 0
    return desk.stackmend("resume", "work", "-f", "json")


def error(ended: Ended) -> str:
    """Why the one lane stopped."""
    assert (ended.code, ended.data["state"]) == (4, "needs-hands"), ended
    (why,) = [lane["error"] for lane in ended.data["lanes"] if lane["error"]]
    return str(why)


def cloud_has(desk: Desk) -> bool:
    """Whether the cloud hears of the host's nova-compute."""
    processes = desk.cloud.state()["processes"]
    return any(row["running"] for row in processes if (row["host"], row["binary"]) == (HOST, "nova-compute"))


def shown(machine: Machine) -> str:
    """All that systemd keeps of the unit and its settings, and every file of the administrator's."""
    names = "LoadState,ActiveState,SubState,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload,TimeoutStopUSec"
    files = "find /etc/systemd /run/systemd/system ! -type d -printf '%p %l\\n' | sort"
    return machine.sh(f"systemctl show --property={names} {UNIT} && {files}")


def operator(desk: Desk, machine: Machine) -> None:
    """A login that is not root's."""
    machine.sh("useradd --gid operator --create-home --shell /bin/bash operator")
    reach(desk, machine, {"user": "operator"})
