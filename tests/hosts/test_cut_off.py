"""Stopping nova-compute under a real systemd, cut off in the middle: each is done once, and can be taken back."""

import json
import signal
import subprocess

import pytest
from desk import Desk
from hosts.compute import AWAY, HOST, back, setting, shown, words
from hosts.nspawn import UNIT, Machine
from waiting import until

pytestmark = pytest.mark.hosts
BRAKE = """#!/bin/sh
[ "$1" = stop ] && [ -e /run/brake ] && touch /run/waits && exec sleep 600
exec /usr/bin/systemctl "$@"
"""


class TestCutOff:
    """In the middle of the stop."""

    def test_the_connection_is_cut(self, town: Desk, machine: Machine) -> None:
        setting(machine, "Environment=NOVA_STOP=5")
        process = town.process("run", "host-maintenance", HOST, *words())
        stopping(machine, process)
        # Each connection is a process of its own, beside the one that listens.
        machine.sh("pkill --full '^sshd: [r]oot'")
        ended = town.ended(process)
        assert ended.code == 6, ended
        assert machine.state() == AWAY
        assert stops(machine) == 1
        assert back(town).code == 0

    @pytest.mark.parametrize("then", ["resume", "revert"])
    def test_stackmend_is_killed_while_it_stops(self, town: Desk, machine: Machine, then: str) -> None:
        setting(machine, "Environment=NOVA_STOP=5")
        before = shown(machine)
        process = town.process("run", "host-maintenance", HOST, *words())
        stopping(machine, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        ended = town.stackmend(then, "work", "-f", "json")
        if then == "resume":
            assert (ended.code, ended.data["state"]) == (6, "awaiting-operator"), ended
            assert machine.state() == AWAY
            assert stops(machine) == 1
            ended = back(town)
        assert ended.code == 0, ended
        assert shown(machine) == before

    @pytest.mark.parametrize("then", ["resume", "revert"])
    def test_everything_is_killed_between_mask_and_stop(self, town: Desk, machine: Machine, then: str) -> None:
        before = shown(machine)
        # The stop waits here, where a slow machine's would; the rest is systemctl's.
        machine.write("/usr/local/bin/systemctl", BRAKE)
        machine.sh("chmod 755 /usr/local/bin/systemctl && touch /run/brake")
        process = town.process("run", "host-maintenance", HOST, *words())
        until(lambda: machine.typed("test -e /run/waits").returncode == 0, "it is masked and not stopped", 90)
        process.send_signal(signal.SIGKILL)
        process.wait()
        machine.sh("pkill --full '^sshd: [r]oot'; pkill --full '[s]h -c systemctl'; pkill --full '[s]leep 600'")
        machine.sh("rm /run/brake")
        assert machine.state()[0] == "active"
        ended = town.stackmend(then, "work", "-f", "json")
        if then == "resume":
            assert ended.code == 6, ended
            assert machine.state() == AWAY
            ended = town.stackmend("revert", "work", "-f", "json")
        assert ended.code == 0, ended
        assert shown(machine) == before


def stopping(machine: Machine, process: "subprocess.Popen[str]") -> None:
    """Wait until systemd has told nova-compute to stop, and it has not; ``process`` is who asks for that."""
    show = f"systemctl show --property=ActiveState --value {UNIT}"

    def seen() -> bool:
        assert process.poll() is None, process.communicate()
        return machine.sh(show).strip() == "deactivating"

    until(seen, "nova-compute is stopping", 90)


def stops(machine: Machine) -> int:
    """How often the daemon was told to stop, in this boot."""
    entries = machine.sh(f"journalctl --output=json --unit={UNIT}").splitlines()
    told = [str(json.loads(line)["MESSAGE"]) for line in entries]
    last = max(place for place, line in enumerate(told) if "Starting nova-compute node" in line)
    return sum("Caught SIGTERM" in line for line in told[last:])
