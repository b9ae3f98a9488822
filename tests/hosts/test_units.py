"""The units that are shipped, under a real systemd: what they may touch, how they end. The command is a stand-in."""

from pathlib import Path

import pytest
from hosts.nspawn import Machine
from waiting import until

import stackmend

pytestmark = pytest.mark.hosts
UNITS = sorted((Path(stackmend.__file__).parent / "units").glob("*.service"))
# It tells who it is and what it was called with, writes where the command keeps its state, and goes when it is told to.
_COMMAND = """#!/bin/sh
trap 'echo left >>"$XDG_STATE_HOME/stackmend/told"; exit 0' TERM
echo "$(id -un) $*" >"$XDG_STATE_HOME/stackmend/told"
[ -z "$3" ] || touch "$3"
touch /etc/stackmend/not-ours 2>/dev/null || echo "no writing in /etc" >>"$XDG_STATE_HOME/stackmend/told"
while :; do sleep 0.1; done
"""
_TOLD = "/var/lib/stackmend/told"


@pytest.fixture
def controller(machine: Machine) -> Machine:
    """A machine with the units, their user and the command."""
    machine.sh("useradd --system stackmend && mkdir -p /etc/stackmend && chown stackmend /etc/stackmend")
    machine.write("/usr/local/bin/stackmend", _COMMAND)
    machine.sh("chmod 755 /usr/local/bin/stackmend")
    for unit in UNITS:
        machine.write(f"/etc/systemd/system/{unit.name}", unit.read_text(encoding="utf-8"))
    machine.sh("systemctl daemon-reload")
    return machine


@pytest.mark.parametrize(
    ("unit", "called"),
    [
        ("stackmend-worker@1", "stackmend worker --watched-at /run/stackmend-worker-1/watched"),
        ("stackmend-listen", "stackmend listen"),
    ],
)
def test_it_runs_as_its_own_user_and_ends_when_told(controller: Machine, unit: str, called: str) -> None:
    assert len(UNITS) == 2
    said = controller.typed(f"systemd-analyze verify /etc/systemd/system/{unit.partition('@')[0]}*.service")
    assert (said.returncode, said.stderr) == (0, "")
    controller.sh(f"systemctl start {unit}")
    until(lambda: "no writing" in controller.typed(f"cat {_TOLD}").stdout, "the command runs")
    assert controller.sh(f"cat {_TOLD}").splitlines() == [called, "no writing in /etc"]
    assert controller.sh(f"stat -c '%U %a' {_TOLD}").split() == ["stackmend", "600"]
    assert controller.sh(f"systemctl show --property=ActiveState --value {unit}").strip() == "active"
    controller.sh(f"systemctl stop {unit}")
    assert controller.sh(f"systemctl show --property=Result --value {unit}").strip() == "success"
    assert controller.sh(f"tail -1 {_TOLD}").strip() == "left"


def test_what_is_killed_comes_again(controller: Machine) -> None:
    controller.sh("systemctl start stackmend-worker@1")
    until(lambda: "no writing" in controller.typed(f"cat {_TOLD}").stdout, "the command runs")
    controller.sh(f"rm {_TOLD} && systemctl kill --signal=KILL stackmend-worker@1")
    until(lambda: "no writing" in controller.typed(f"cat {_TOLD}").stdout, "it runs again")
