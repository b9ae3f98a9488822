"""nova-compute under a real systemd and docker, by SSH: away for planned work, kept away, back as it was."""

import pytest
from desk import Desk
from hosts.compute import (
    AWAY,
    BACK,
    HOST,
    PATIENCE,
    back,
    cloud_has,
    error,
    operator,
    out,
    reach,
    setting,
    shown,
)
from hosts.nspawn import CONTAINER, UNIT, Machine
from waiting import until

pytestmark = pytest.mark.hosts
FAULT = "/etc/nova/fault"
NO_DRIVER = "ERROR nova [-] no such driver"


class TestPlannedWork:
    """There and back."""

    def test_it_is_away_for_as_long_as_the_work_takes(self, town: Desk, machine: Machine) -> None:
        ended = out(town)
        assert (ended.code, ended.data["state"]) == (6, "awaiting-operator"), ended
        assert machine.state() == AWAY
        until(lambda: not cloud_has(town), "the cloud hears nothing of it")
        managed = machine.typed(f"systemctl start {UNIT}")
        assert (managed.returncode, "is masked" in managed.stderr) == (1, True)
        machine.sh("systemctl daemon-reload && systemctl isolate multi-user.target")
        assert machine.state() == AWAY
        ended = back(town)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended
        assert machine.state() == BACK
        assert cloud_has(town)

    @pytest.mark.parametrize("enabled", ["enable", "disable"])
    def test_a_revert_leaves_everything_as_it_was(self, town: Desk, machine: Machine, enabled: str) -> None:
        setting(machine, "TimeoutStopSec=7")
        machine.sh(f"systemctl {enabled} {UNIT}")
        before = shown(machine)
        assert out(town).code == 6
        assert shown(machine) != before
        assert town.stackmend("revert", "work").code == 0
        assert shown(machine) == before

    def test_a_user_with_sudo(self, town: Desk, machine: Machine) -> None:
        operator(town, machine)
        machine.write("/etc/sudoers.d/operator", "operator ALL=(root) NOPASSWD: ALL\n")
        assert out(town).code == 6
        assert machine.state() == AWAY
        assert back(town).code == 0
        assert machine.state() == BACK

    def test_host_return_brings_it_back(self, town: Desk, machine: Machine) -> None:
        machine.sh(f"systemctl mask --now {UNIT}")
        until(lambda: not cloud_has(town), "the cloud hears nothing of it")
        ended = town.stackmend("run", "host-return", HOST, "--yes", "-f", "json", *PATIENCE)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended
        assert machine.state() == BACK
        assert cloud_has(town)


class TestContainer:
    """The same, of a container of docker."""

    @pytest.fixture(autouse=True)
    def _contained(self, town: Desk, machine: Machine) -> None:
        machine.sh(f"systemctl disable --now {UNIT}")
        machine.contain()
        reach(town, machine, {"compute": {"container": CONTAINER}})

    def test_it_is_away_for_as_long_as_the_work_takes(self, town: Desk, machine: Machine) -> None:
        ended = out(town)
        assert (ended.code, ended.data["state"]) == (6, "awaiting-operator"), ended
        assert machine.container() == "false no"
        until(lambda: not cloud_has(town), "the cloud hears nothing of it")
        machine.sh("systemctl restart docker")
        assert machine.container() == "false no"
        assert back(town).code == 0
        assert machine.container() == "true unless-stopped"
        assert cloud_has(town)

    def test_a_revert_leaves_it_as_it_was(self, town: Desk, machine: Machine) -> None:
        assert out(town).code == 6
        assert town.stackmend("revert", "work").code == 0
        assert machine.container() == "true unless-stopped"
        machine.sh("systemctl restart docker")
        until(lambda: machine.container() == "true unless-stopped", "docker has started it again")

    def test_one_that_fails_to_start(self, town: Desk, machine: Machine) -> None:
        out(town)
        machine.write(FAULT, "no such driver\n")
        assert NO_DRIVER in error(back(town))
        machine.sh(f"rm {FAULT}")
        assert town.stackmend("retry", "work").code == 0
        assert machine.container() == "true unless-stopped"

    def test_no_such_container(self, town: Desk, machine: Machine) -> None:
        reach(town, machine, {"compute": {"container": "elsewhere"}})
        assert "there is no docker container elsewhere at 127.0.0.1" in error(out(town))
        assert machine.container() == "true unless-stopped"


class TestSomebodyElse:
    """The machine is not ours alone."""

    def test_it_was_brought_back_meanwhile(self, town: Desk, machine: Machine) -> None:
        out(town)
        machine.sh(f"systemctl unmask {UNIT} && systemctl start {UNIT}")
        began = machine.sh(f"systemctl show --property=ExecMainPID {UNIT}")
        assert back(town).code == 0
        assert machine.state() == BACK
        assert machine.sh(f"systemctl show --property=ExecMainPID {UNIT}") == began

    def test_it_was_unmasked_meanwhile_and_the_work_is_over(self, town: Desk, machine: Machine) -> None:
        out(town)
        machine.sh(f"systemctl unmask {UNIT}")
        assert back(town).code == 0
        assert machine.state() == BACK

    def test_it_was_unmasked_meanwhile_and_the_work_is_reverted(self, town: Desk, machine: Machine) -> None:
        out(town)
        machine.sh(f"systemctl unmask {UNIT}")
        ended = town.stackmend("revert", "work")
        assert (ended.code, "changed by somebody else" in ended.err) == (4, True), ended
        assert machine.state() == ("inactive", "enabled")

    def test_another_machine_answers(self, town: Desk, machine: Machine) -> None:
        machine.sh("ssh-keygen -q -t ed25519 -N '' -f /run/other && echo 'HostKey /run/other' > /run/sshd.conf")
        machine.sh("sed 's,/etc/ssh/host_key,/run/other,' /etc/ssh/sshd_config > /run/sshd.conf")
        machine.sh("echo 'SSHD_OPTS=-f /run/sshd.conf' > /etc/default/ssh && systemctl restart ssh")
        assert "not the known" in error(out(town))
        assert machine.state() == BACK


class TestItWillNot:
    """What is said when systemd does not do it."""

    def test_no_such_unit(self, town: Desk, machine: Machine) -> None:
        reach(town, machine, {"compute": {"unit": "openstack-nova-compute"}})
        assert "there is no unit openstack-nova-compute at 127.0.0.1" in error(out(town))
        assert machine.state() == BACK

    def test_no_right_to(self, town: Desk, machine: Machine) -> None:
        operator(town, machine)
        why = error(out(town))
        assert all(part in why for part in ("sudo: a password is required", "give the user that right")), why
        assert "there is no unit" not in why
        assert machine.state() == BACK

    def test_a_unit_that_can_not_be_masked(self, town: Desk, machine: Machine) -> None:
        machine.sh(f"cp /lib/systemd/system/{UNIT}.service /etc/systemd/system && systemctl daemon-reload")
        assert f"File /etc/systemd/system/{UNIT}.service already exists" in error(out(town))
        assert machine.state() == BACK

    def test_one_that_hangs_while_it_stops_is_killed_when_its_unit_says_so(self, town: Desk, machine: Machine) -> None:
        setting(machine, "Environment=NOVA_STOP=300", "TimeoutStopSec=1")
        ended = out(town)
        assert ended.code == 6, ended
        assert machine.typed(f"systemctl is-active {UNIT}").stdout.strip() in ("inactive", "failed")
        assert machine.state()[1] == "masked"
        assert "Killing process" in machine.sh(f"journalctl --output=cat --unit={UNIT}")
        assert back(town).code == 0
        assert machine.state() == BACK

    def test_one_that_takes_longer_to_stop_than_a_command_may(self, town: Desk, machine: Machine) -> None:
        setting(machine, "Environment=NOVA_STOP=3")
        reach(town, machine, command_timeout=1)
        ended = out(town)
        assert ended.code == 6, ended
        assert machine.state() == AWAY

    @pytest.mark.parametrize("kind", ["Type=notify", "Type=simple"])
    def test_one_that_fails_to_start(self, town: Desk, machine: Machine, kind: str) -> None:
        out(town)
        machine.service(kind, "NotifyAccess=all")
        machine.write(FAULT, "no such driver\n")
        assert NO_DRIVER in error(back(town))
        machine.sh(f"rm {FAULT} && systemctl reset-failed {UNIT}")
        ended = town.stackmend("retry", "work", "-f", "json")
        assert (ended.code, ended.data["state"]) == (0, "done"), ended
        assert machine.state() == BACK

    def test_host_return_tries_again_when_it_is_mended(self, town: Desk, machine: Machine) -> None:
        machine.sh(f"systemctl mask --now {UNIT}")
        machine.write(FAULT, "no such driver\n")
        until(lambda: not cloud_has(town), "the cloud hears nothing of it")
        ended = town.stackmend("run", "host-return", HOST, "--yes", "-f", "json", "--key", "work", *PATIENCE)
        assert NO_DRIVER in error(ended)
        machine.sh(f"rm {FAULT} && systemctl reset-failed {UNIT}")
        ended = town.stackmend("retry", "work", "-f", "json")
        assert (ended.code, ended.data["state"]) == (0, "done"), ended
        assert machine.state() == BACK
