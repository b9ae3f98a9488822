"""Ports and their bindings, and the agents that wire them."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from contract.cloud import Cloud
from contract.hosts import agent, follow
from waiting import until


@pytest.fixture(scope="module")
def port(cloud: Cloud) -> Iterator[str]:
    """A bound port, as a server's is, but of none: nova itself would heal the binding of its servers' ports."""
    made = make(cloud)
    yield made
    cloud.neutron("DELETE", f"/ports/{made}")


def make(cloud: Cloud) -> str:
    """A port on the first host, once it is wired."""
    owner = {"device_owner": "compute:nova", "device_id": str(uuid.uuid4())}
    body = {"port": {"network_id": cloud.network, "binding:host_id": cloud.hosts[0], **owner}}
    made = str(cloud.neutron("POST", "/ports", body).json()["port"]["id"])
    active(cloud, made)
    return made


def shown(cloud: Cloud, port: str) -> dict[str, Any]:
    return dict(cloud.neutron("GET", f"/ports/{port}").json()["port"])


def active(cloud: Cloud, port: str) -> dict[str, Any]:
    """The port once it is ACTIVE."""
    until(lambda: shown(cloud, port)["status"] == "ACTIVE", "the port is ACTIVE")
    return shown(cloud, port)


def bind(cloud: Cloud, port: str, host: str) -> dict[str, Any]:
    """PUT the host; what the answer says."""
    answer = cloud.neutron("PUT", f"/ports/{port}", {"port": {"binding:host_id": host}})
    assert answer.status_code == 200, answer.text
    told = answer.json()["port"]
    return {name.rpartition(":")[2]: told[name] for name in ("binding:host_id", "binding:vif_type", "status")}


def rows(cloud: Cloud, port: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Its bindings (host, vif_type, status) and the hosts of their levels."""
    bound = cloud.rows("neutron", "SELECT * FROM ml2_port_bindings WHERE port_id = :port", port=port)
    levels = cloud.rows("neutron", "SELECT * FROM ml2_port_binding_levels WHERE port_id = :port", port=port)
    return [(r["host"], r["vif_type"], r["status"]) for r in bound], [r["host"] for r in levels]


def test_a_bound_port(cloud: Cloud, port: str) -> None:
    host = cloud.hosts[0]
    view = shown(cloud, port)
    assert (view["binding:host_id"], view["binding:vif_type"], view["device_owner"]) == (host, "ovs", "compute:nova")
    assert rows(cloud, port) == ([(host, "ovs", "ACTIVE")], [host])
    (binding,) = cloud.neutron("GET", f"/ports/{port}/bindings").json()["bindings"]
    assert (binding["host"], binding["vif_type"], binding["status"]) == (host, "ovs", "ACTIVE")


def test_the_host_it_has_changes_nothing(cloud: Cloud, port: str) -> None:
    before = shown(cloud, port)
    assert bind(cloud, port, cloud.hosts[0]) == {"host_id": cloud.hosts[0], "vif_type": "ovs", "status": "ACTIVE"}
    assert shown(cloud, port)["revision_number"] == before["revision_number"]


def test_another_host_rebinds_at_once_and_its_agent_wires_it(cloud: Cloud, port: str) -> None:
    before = shown(cloud, port)["revision_number"]
    assert bind(cloud, port, cloud.hosts[1]) == {"host_id": cloud.hosts[1], "vif_type": "ovs", "status": "DOWN"}
    assert active(cloud, port)["revision_number"] > before
    assert rows(cloud, port) == ([(cloud.hosts[1], "ovs", "ACTIVE")], [cloud.hosts[1]])
    bind(cloud, port, cloud.hosts[0])
    active(cloud, port)


def test_unbound_it_has_a_binding_to_nowhere(cloud: Cloud, port: str) -> None:
    assert bind(cloud, port, "") == {"host_id": "", "vif_type": "unbound", "status": "DOWN"}
    assert rows(cloud, port) == ([("", "unbound", "ACTIVE")], [])
    bind(cloud, port, cloud.hosts[0])
    active(cloud, port)


def test_a_host_that_nobody_knows_fails_in_the_answer_not_in_the_status(cloud: Cloud, port: str) -> None:
    assert bind(cloud, port, "nowhere") == {"host_id": "nowhere", "vif_type": "binding_failed", "status": "DOWN"}
    assert rows(cloud, port) == ([("nowhere", "binding_failed", "ACTIVE")], [])
    bind(cloud, port, cloud.hosts[0])
    active(cloud, port)


def test_a_dead_agent_refuses_ports_and_servers(cloud: Cloud, port: str, server: str) -> None:
    host = cloud.hosts[2]
    bind(cloud, port, host)
    active(cloud, port)
    cloud.lab.host(host, "kill", "neutron-openvswitch-agent")
    try:
        until(lambda: not agent(cloud, host)["alive"], "the agent is seen dead", 60)
        dead = cloud.neutron("GET", "/agents?alive=false").json()["agents"]
        assert [one["host"] for one in dead] == [host]
        assert bind(cloud, port, cloud.hosts[1])["vif_type"] == "ovs"
        active(cloud, port)
        assert bind(cloud, port, host) == {"host_id": host, "vif_type": "binding_failed", "status": "DOWN"}
        order = {"os-migrateLive": {"host": host, "block_migration": "auto"}}
        assert follow(cloud, server, order, "error", "completed")["status"] == "error"
        assert cloud.settled(server)["OS-EXT-SRV-ATTR:host"] == cloud.hosts[0]
        assert cloud.ports(server)[0]["binding:host_id"] == cloud.hosts[0]
    finally:
        cloud.lab.host(host, "start", "neutron-openvswitch-agent")
    until(lambda: agent(cloud, host)["alive"], "the agent is back", 60)
    # The same host again: what failed is bound, what is bound is left alone.
    assert bind(cloud, port, host)["vif_type"] == "ovs"
    bind(cloud, port, cloud.hosts[0])
    active(cloud, port)


def test_a_port_set_down_is_wired_by_a_living_agent(cloud: Cloud, port: str) -> None:
    cloud.execute("neutron", "UPDATE ports SET status = 'DOWN' WHERE id = :port", port=port)
    active(cloud, port)


def test_an_old_revision_is_refused(cloud: Cloud, port: str) -> None:
    headers = {"If-Match": "revision_number=1"}
    answer = cloud.neutron("PUT", f"/ports/{port}", {"port": {"name": "x"}}, headers=headers)
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (412, "RevisionNumberConstraintFailed")


def test_refusals(cloud: Cloud, port: str) -> None:
    nothing = str(uuid.uuid4())
    missing = cloud.neutron("PUT", f"/ports/{nothing}", {"port": {"binding:host_id": cloud.hosts[0]}})
    message = f"Port {nothing} could not be found."
    assert (missing.status_code, missing.json()["NeutronError"]) == (
        404,
        {"type": "PortNotFound", "message": message, "detail": ""},
    )
    wrong = cloud.neutron("PUT", f"/ports/{port}", {"port": {"nonsense": 1}})
    assert (wrong.status_code, wrong.json()["NeutronError"]["message"]) == (400, "Unrecognized attribute(s) 'nonsense'")
    gone = cloud.neutron("DELETE", f"/agents/{nothing}")
    assert (gone.status_code, gone.json()["NeutronError"]["type"]) == (404, "AgentNotFound")


def test_second_bindings_are_for_services_only(cloud: Cloud, port: str) -> None:
    # Since neutron's roles of 2024; before, an admin could do this.
    for method, path, body in (
        ("POST", f"/ports/{port}/bindings", {"binding": {"host": cloud.hosts[1]}}),
        ("PUT", f"/ports/{port}/bindings/{cloud.hosts[0]}/activate", None),
        ("DELETE", f"/ports/{port}/bindings/{cloud.hosts[0]}", None),
    ):
        answer = cloud.neutron(method, path, body)
        assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")


def test_a_left_over_inactive_binding_is_listed_and_passed_by(cloud: Cloud, port: str) -> None:
    left = {"port": port, "host": cloud.hosts[2]}
    values = "(:port, :host, 'ovs', 'normal', '', '', 'INACTIVE')"
    columns = "port_id, host, vif_type, vnic_type, profile, vif_details, status"
    cloud.execute("neutron", f"INSERT INTO ml2_port_bindings ({columns}) VALUES {values}", **left)
    found = cloud.neutron("GET", f"/ports/{port}/bindings").json()["bindings"]
    assert {(one["host"], one["status"]) for one in found} == {(cloud.hosts[0], "ACTIVE"), (cloud.hosts[2], "INACTIVE")}
    assert bind(cloud, port, cloud.hosts[1])["vif_type"] == "ovs"
    gone = "DELETE FROM ml2_port_bindings WHERE port_id = :port AND host = :host AND status = 'INACTIVE'"
    assert cloud.execute("neutron", gone, **left) == 1
    bind(cloud, port, cloud.hosts[0])
    active(cloud, port)


def test_agents_are_no_members_business(cloud: Cloud, port: str) -> None:
    one = agent(cloud, cloud.hosts[0])
    assert (one["agent_type"], one["binary"]) == ("Open vSwitch agent", "neutron-openvswitch-agent")
    assert (one["alive"], one["admin_state_up"]) == (True, True)
    assert cloud.neutron("GET", "/agents", member=True).json() == {"agents": []}
    assert cloud.neutron("GET", f"/ports/{port}", member=True).status_code == 404


def test_ports_of_several_servers_at_once(cloud: Cloud, port: str) -> None:
    second = make(cloud)
    first_server, second_server = (shown(cloud, one)["device_id"] for one in (port, second))
    found = cloud.neutron("GET", f"/ports?device_id={first_server}&device_id={second_server}").json()["ports"]
    assert {one["device_id"] for one in found} == {first_server, second_server}
    cloud.neutron("DELETE", f"/ports/{second}")
    by_host = cloud.neutron("GET", f"/ports?binding:host_id={cloud.hosts[0]}&fields=id").json()["ports"]
    assert {"id": port} in by_host
