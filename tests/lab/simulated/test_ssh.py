"""Guests and hosts behind SSH, reached with paramiko and strict host keys."""

from typing import TYPE_CHECKING, Any

import paramiko
import pytest
from waiting import until

if TYPE_CHECKING:
    from conftest import Bench

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def run(bench: "Bench", address: str, command: str, user: str = "debian") -> tuple[int, str, str]:
    """Run one command; exit status -1 when the connection ends before it."""
    description = bench.cloud.description
    with paramiko.SSHClient() as client:
        client.load_host_keys(description["ssh_known_hosts"])
        client.connect(
            address,
            description["ssh_port"],
            user,
            key_filename=description["ssh_key"],
            allow_agent=False,
            look_for_keys=False,
            timeout=5,
        )
        _, stdout, stderr = client.exec_command(command)
        return (
            stdout.channel.recv_exit_status(),
            stdout.read().decode().strip(),
            stderr.read().decode().strip(),
        )


def address(bench: "Bench", name: str) -> str:
    (port,) = bench.call("network", "GET", f"/v2.0/ports?device_id={bench.servers[name]}").json()["ports"]
    found: str = port["fixed_ips"][0]["ip_address"]
    return found


def host_address(bench: "Bench", name: str) -> str:
    found: str = bench.cloud.state()["hosts"][name]["address"]
    return found


def test_a_guest_answers_on_its_ports_address(bench: "Bench") -> None:
    where = address(bench, "web-1")
    assert run(bench, where, "hostname") == (0, "web-1", "")
    assert run(bench, where, "sudo -n -- sh -c 'whoami'") == (0, "root", "")
    assert run(bench, where, "whoami", "root") == (0, "root", "")
    assert run(bench, where, "frobnicate")[0] == 127


def test_reboot_from_inside_changes_the_boot_id_once(bench: "Bench") -> None:
    where = address(bench, "web-1")
    before = run(bench, where, BOOT_ID)[1]
    assert run(bench, where, "sudo systemctl reboot")[0] == -1
    after = until(lambda: answered(bench, where), "the guest answers again")
    assert after != before
    kinds = [effect["kind"] for effect in bench.cloud.journal("guest.")]
    assert kinds == ["guest.reboot", "guest.boot"]


def answered(bench: "Bench", where: str) -> str | None:
    try:
        return run(bench, where, BOOT_ID)[1]
    except (OSError, paramiko.SSHException):
        return None


def test_reboot_needs_root(bench: "Bench") -> None:
    status, _, words = run(bench, address(bench, "web-1"), "reboot")
    assert status == 1
    assert "Interactive authentication required" in words
    assert bench.cloud.journal("guest.") == []


def test_a_reboot_by_nova_changes_the_boot_id_too(bench: "Bench") -> None:
    where = address(bench, "web-1")
    before = run(bench, where, BOOT_ID)[1]
    bench.reboot("web-1")
    bench.settled("web-1")
    assert run(bench, where, BOOT_ID)[1] != before


def test_a_guest_without_power_does_not_answer(bench: "Bench") -> None:
    where = address(bench, "web-1")
    bench.cloud.power_cut()
    bench.cloud.power_on()
    assert answered(bench, where) is None


@pytest.mark.parametrize(
    ("switches", "error"),
    [
        ({"refuse": True}, OSError),
        ({"new_host_key": True}, paramiko.BadHostKeyException),
    ],
)
def test_switches(bench: "Bench", switches: dict[str, Any], error: type[Exception]) -> None:
    where = address(bench, "web-1")
    bench.cloud.ssh(bench.servers["web-1"], **switches)
    with pytest.raises(error):
        run(bench, where, "true")
    bench.cloud.restore("demo")
    assert run(bench, where, "true")[0] == 0


def test_a_command_can_be_cut_half_way(bench: "Bench") -> None:
    where = address(bench, "web-1")
    bench.cloud.ssh(bench.servers["web-1"], drop=1)
    assert run(bench, where, "uptime")[0] == -1
    assert run(bench, where, "uptime")[0] == 0
    assert len(bench.cloud.journal("ssh.command")) == 2


def test_units_of_a_host(bench: "Bench") -> None:
    where = host_address(bench, "sim-c01")
    assert run(bench, where, "systemctl is-active nova-compute") == (0, "active", "")
    assert run(bench, where, "systemctl stop nova-compute")[0] == 1
    assert run(bench, where, "sudo systemctl stop nova-compute")[0] == 0
    assert run(bench, where, "systemctl is-active nova-compute") == (3, "inactive", "")
    assert run(bench, where, "sudo systemctl mask nova-compute")[0] == 0
    assert "is masked" in run(bench, where, "sudo systemctl start nova-compute")[2]
    assert run(bench, where, "sudo systemctl unmask nova-compute")[0] == 0
    assert run(bench, where, "sudo systemctl start nova-compute")[0] == 0
    assert run(bench, where, "systemctl is-active nova-compute") == (0, "active", "")
    assert run(bench, where, "systemctl is-active httpd")[0] == 4


def test_only_the_operators_key_opens(bench: "Bench") -> None:
    description = bench.cloud.description
    with paramiko.SSHClient() as client:
        client.load_host_keys(description["ssh_known_hosts"])
        with pytest.raises(paramiko.AuthenticationException):
            client.connect(
                address(bench, "web-1"),
                description["ssh_port"],
                "debian",
                pkey=paramiko.RSAKey.generate(2048),
                allow_agent=False,
                look_for_keys=False,
            )
