"""nova-compute's place on a host: a unit or a container, looked at, held back, started, and its log read."""

from typing import Any

import pytest
from desk import Desk

from stackmend.clients.inventory import Inventory
from stackmend.clients.ssh import Ssh, SshSettings
from stackmend.errors import NeedsHands
from stackmend.tasks.compute_service import Place, facts_of, log_tail

KINDS = {"unit": {"unit": "nova-compute"}, "container": {"container": "nova_compute"}}
FREE, HELD = {"running": True, "held": False}, {"running": False, "held": True}


@pytest.fixture
def ssh(pair: Desk) -> Ssh:
    found = pair.cloud.description
    keys = {"key_files": [found["ssh_key"]], "known_hosts": [found["ssh_known_hosts"]], "agent": False}
    return Ssh(SshSettings(port=found["ssh_port"], user="debian", patience=1, **keys))


def place(desk: Desk, compute: dict[str, Any]) -> Place:
    address = desk.cloud.state()["hosts"]["sim-c01"]["address"]
    inventory = Inventory({"hosts": {"sim-c01": {"address": address, "compute": compute}}})
    return Place(**facts_of(inventory.host("sim-c01")))


@pytest.mark.parametrize("kind", KINDS)
def test_each_state_can_be_reached_and_seen(pair: Desk, ssh: Ssh, kind: str) -> None:
    there = place(pair, KINDS[kind])
    assert there.state_in(ssh.run(there.look())) == FREE
    for state in (HELD, FREE, {"running": False, "held": False}, HELD, {"running": True, "held": True}, FREE):
        assert ssh.run(there.to(**state)).exit_status == 0
        assert there.state_in(ssh.run(there.look())) == state


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_can_be_read(pair: Desk, ssh: Ssh, kind: str) -> None:
    assert "Starting nova-compute node" in log_tail(place(pair, KINDS[kind]), ssh)
    pair.cloud.ssh("sim-c01", refuse=True)
    assert "not to be had" in log_tail(place(pair, KINDS[kind]), ssh)


@pytest.mark.parametrize("compute", [{"unit": "openstack-nova-compute"}, {"container": "elsewhere"}])
def test_a_service_that_is_not_there_is_said(pair: Desk, ssh: Ssh, compute: dict[str, str]) -> None:
    there = place(pair, compute)
    with pytest.raises(NeedsHands, match="say in the inventory"):
        there.state_in(ssh.run(there.look()))
