"""Power, hosts, services and evacuation, and what placement, neutron and Redfish say of them."""

from typing import TYPE_CHECKING, Any

import pytest
import requests
from keystoneauth1.exceptions import ConnectFailure
from waiting import until

if TYPE_CHECKING:
    from conftest import Bench


def compute_service(bench: "Bench", host: str) -> dict[str, Any]:
    found: dict[str, Any] = bench.compute("GET", f"/os-services?host={host}&binary=nova-compute").json()["services"][0]
    return found


def set_service(bench: "Bench", host: str, **body: Any) -> Any:
    return bench.compute("PUT", f"/os-services/{compute_service(bench, host)['id']}", json=body)


def lose(bench: "Bench", host: str) -> None:
    """A host dies, and everybody knows."""
    bench.cloud.host(host, "power-off")
    assert set_service(bench, host, forced_down=True).status_code == 200


def migrations(bench: "Bench", name: str) -> list[dict[str, Any]]:
    path = f"/os-migrations?migration_type=evacuation&instance_uuid={bench.servers[name]}"
    found: list[dict[str, Any]] = bench.compute("GET", path, "2.80").json()["migrations"]
    return found


def port(bench: "Bench", name: str) -> dict[str, Any]:
    path = f"/v2.0/ports?device_id={bench.servers[name]}"
    found: dict[str, Any] = bench.call("network", "GET", path).json()["ports"][0]
    return found


def holders(bench: "Bench", name: str) -> set[str]:
    """The hosts on which placement keeps resources for a server."""
    found = bench.call("placement", "GET", f"/allocations/{bench.servers[name]}", "1.36").json()["allocations"]
    providers = bench.call("placement", "GET", "/resource_providers", "1.36").json()["resource_providers"]
    return {provider["name"] for provider in providers if provider["uuid"] in found}


def test_power_cut_takes_guests_and_apis_but_no_row(bench: "Bench") -> None:
    before = {row["uuid"]: row["vm_state"] for row in bench.rows("nova", "SELECT uuid, vm_state FROM instances")}
    bench.server("app-1")  # signed in: a client without a token fails in another way
    bench.cloud.power_cut()
    with pytest.raises(ConnectFailure):
        bench.server("app-1")
    bench.cloud.power_on()
    assert {
        row["uuid"]: row["vm_state"] for row in bench.rows("nova", "SELECT uuid, vm_state FROM instances")
    } == before
    view = bench.server("app-1")
    assert (view["status"], view["OS-EXT-STS:power_state"]) == ("ACTIVE", 1)
    assert not any(guest["running"] for guest in bench.cloud.state()["guests"].values())


def test_services_may_come_back_later_than_the_power(bench: "Bench") -> None:
    bench.cloud.power_cut()
    bench.cloud.power_on(without=["volume", "nova-compute@sim-c01"])
    with pytest.raises(ConnectFailure):
        bench.volume("web-1-vol1")
    bench.reboot("app-1")
    bench.reboot("web-1")
    bench.settled("web-1")
    assert bench.server("app-1")["OS-EXT-STS:task_state"] == "rebooting_hard"
    bench.cloud.service("volume", up=True)
    bench.cloud.host("sim-c01", "start")
    bench.settled("app-1")
    assert bench.volume("web-1-vol1")["status"] == "in-use"


def test_heartbeats_stop_with_the_process(bench: "Bench") -> None:
    first = compute_service(bench, "sim-c01")["updated_at"]
    until(lambda: compute_service(bench, "sim-c01")["updated_at"] > first, "a newer heartbeat")
    bench.cloud.settings(service_down_time=0.1)
    bench.cloud.host("sim-c01", "kill")
    until(lambda: compute_service(bench, "sim-c01")["state"] == "down", "sim-c01 is down", 15)
    bench.cloud.settings(service_down_time=4.0)
    bench.cloud.host("sim-c01", "start")
    until(lambda: compute_service(bench, "sim-c01")["state"] == "up", "sim-c01 is up")


def test_services_are_disabled_with_a_reason(bench: "Bench") -> None:
    answer = set_service(bench, "sim-c01", status="disabled", disabled_reason="broken fan")
    assert (answer.json()["service"]["status"], answer.json()["service"]["disabled_reason"]) == (
        "disabled",
        "broken fan",
    )
    assert bench.cloud.journal("service.update")[0]["host"] == "sim-c01"
    assert bench.compute("GET", "/os-services", member=True).status_code == 403


def test_evacuation_is_refused_while_the_host_lives(bench: "Bench") -> None:
    refused = bench.act("app-1", evacuate={})
    assert (refused.status_code, refused.json()["badRequest"]["message"]) == (
        400,
        "Compute service of sim-c01 is still in use.",
    )


@pytest.mark.parametrize(("version", "status"), [("2.94", "ACTIVE"), ("2.95", "SHUTOFF")])
def test_evacuation_moves_server_port_volumes_and_keeps_the_old_allocation(
    bench: "Bench", version: str, status: str
) -> None:
    old = {device["volumeId"]: device["attachment_id"] for device in bench.devices("db-1")}
    lose(bench, "sim-c01")
    assert bench.act("db-1", version, evacuate={"host": "sim-c02"}).status_code == 200
    until(lambda: migrations(bench, "db-1")[0]["status"] == "done", "the evacuation is done")
    view = bench.settled("db-1", status)
    assert view["OS-EXT-SRV-ATTR:host"] == "sim-c02"
    new = {device["volumeId"]: device["attachment_id"] for device in bench.devices("db-1")}
    assert set(new) == set(old)
    assert not set(new.values()) & set(old.values())
    assert port(bench, "db-1")["binding:host_id"] == "sim-c02"
    assert holders(bench, "db-1") == {"sim-c01", "sim-c02"}


def test_forcing_up_waits_for_the_restarted_compute(bench: "Bench") -> None:
    lose(bench, "sim-c01")
    bench.act("db-1", "2.94", evacuate={"host": "sim-c02"})
    until(lambda: migrations(bench, "db-1")[0]["status"] == "done", "the evacuation is done")
    refused = set_service(bench, "sim-c01", forced_down=False)
    assert refused.status_code == 400
    assert "`done` evacuation migration records remain associated with the host" in refused.text
    bench.cloud.host("sim-c01", "power-on")
    until(lambda: migrations(bench, "db-1")[0]["status"] == "completed", "the migration is completed")
    assert set_service(bench, "sim-c01", forced_down=False).status_code == 200
    assert holders(bench, "db-1") == {"sim-c02"}


def test_a_port_is_bound_anew_through_neutron(bench: "Bench") -> None:
    path = f"/v2.0/ports/{port(bench, 'app-1')['id']}"
    answer = bench.call("network", "PUT", path, json={"port": {"binding:host_id": "sim-c03"}})
    assert answer.json()["port"]["binding:host_id"] == "sim-c03"
    assert port(bench, "app-1")["binding:vif_type"] == "ovs"
    assert bench.cloud.journal("port.update")
    rows = bench.rows("neutron", "SELECT host FROM ml2_port_bindings WHERE port_id = ?", port(bench, "app-1")["id"])
    assert [row["host"] for row in rows] == ["sim-c03"]


def test_a_dead_agent_lets_no_port_bind(bench: "Bench") -> None:
    bench.cloud.settings(service_down_time=0.1)
    bench.cloud.host("sim-c03", "kill", "neutron-openvswitch-agent")

    def dead() -> bool:
        agents = bench.call("network", "GET", "/v2.0/agents?host=sim-c03").json()["agents"]
        return not agents[0]["alive"]

    until(dead, "the agent of sim-c03 is dead", 15)
    path = f"/v2.0/ports/{port(bench, 'app-1')['id']}"
    bench.call("network", "PUT", path, json={"port": {"binding:host_id": "sim-c03"}})
    assert port(bench, "app-1")["binding:vif_type"] == "binding_failed"


def test_a_port_with_a_wanted_address(bench: "Bench") -> None:
    network = bench.call("network", "GET", "/v2.0/networks").json()["networks"][0]
    wanted = [{"subnet_id": network["subnets"][0], "ip_address": "127.16.9.9"}]
    body = {"port": {"network_id": network["id"], "fixed_ips": wanted}}
    made = bench.call("network", "POST", "/v2.0/ports", json=body)
    assert (made.status_code, made.json()["port"]["fixed_ips"]) == (201, wanted)
    again = bench.call("network", "POST", "/v2.0/ports", json=body)
    assert (again.status_code, again.json()["NeutronError"]["type"]) == (409, "IpAddressAlreadyAllocated")
    assert bench.call("network", "DELETE", f"/v2.0/ports/{made.json()['port']['id']}").status_code == 204


def test_management_controllers_switch_power(bench: "Bench") -> None:
    system = f"{bench.cloud.description['urls']['redfish']}/v1/Systems/sim-c01"
    reset, password = f"{system}/Actions/ComputerSystem.Reset", ("admin", "simulated")
    assert requests.get(system, timeout=5).status_code == 401
    assert requests.get(system, auth=password, timeout=5).json()["PowerState"] == "On"
    off = requests.post(reset, json={"ResetType": "ForceOff"}, auth=password, timeout=5)
    assert off.status_code == 204
    assert requests.get(system, auth=password, timeout=5).json()["PowerState"] == "Off"
    assert not any(g["running"] for g in bench.cloud.state()["guests"].values() if g["host"] == "sim-c01")
    wrong = requests.post(reset, json={"ResetType": "Explode"}, auth=password, timeout=5)
    assert wrong.status_code == 400
    requests.post(reset, json={"ResetType": "On"}, auth=password, timeout=5)
    assert bench.cloud.state()["hosts"]["sim-c01"]["powered"]
