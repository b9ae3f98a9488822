"""Evacuation, live migration and the return of a host, as nova does them."""

from typing import TYPE_CHECKING

import pytest
from waiting import until

if TYPE_CHECKING:
    from conftest import Bench

HOST = "sim-c01"


@pytest.fixture
def dead_host(bench: "Bench") -> str:
    """A host without power that an operator has forced down."""
    bench.cloud.host(HOST, "power-off")
    force_down(bench, down=True)
    return HOST


def force_down(bench: "Bench", *, down: bool) -> int:
    """Switch forced_down of the host; the status."""
    path = f"/os-services?host={HOST}&binary=nova-compute"
    service = bench.compute("GET", path).json()["services"][0]["id"]
    return int(bench.compute("PUT", f"/os-services/{service}", json={"forced_down": down}).status_code)


def evacuations(bench: "Bench") -> list[str]:
    """The statuses of the evacuations."""
    found = bench.compute("GET", "/os-migrations?migration_type=evacuation").json()["migrations"]
    return [migration["status"] for migration in found]


def test_a_living_host_is_not_evacuated(bench: "Bench") -> None:
    answer = bench.act("app-1", evacuate={})
    assert (answer.status_code, answer.json()["badRequest"]["message"]) == (
        400,
        f"Compute service of {HOST} is still in use.",
    )


@pytest.mark.parametrize(("version", "status"), [("2.94", "ACTIVE"), ("2.95", "SHUTOFF")])
def test_evacuated_servers_run_only_before_2_95(bench: "Bench", dead_host: str, version: str, status: str) -> None:
    assert bench.act("db-1", version, evacuate={}).status_code == 200
    until(lambda: evacuations(bench) == ["done"], "the evacuation is done")
    server = bench.settled("db-1", status)
    assert server["OS-EXT-SRV-ATTR:host"] != dead_host
    assert {a["host_name"] for a in bench.volume("db-data")["attachments"]} == {server["OS-EXT-SRV-ATTR:host"]}
    port = bench.call("network", "GET", f"/v2.0/ports?device_id={server['id']}").json()["ports"][0]
    assert (port["binding:host_id"], port["status"]) == (server["OS-EXT-SRV-ATTR:host"], "ACTIVE")


def test_the_source_must_return_before_it_is_forced_up(bench: "Bench", dead_host: str) -> None:
    bench.act("db-1", "2.94", evacuate={})
    until(lambda: evacuations(bench) == ["done"], "the evacuation is done")
    allocations = f"/allocations/{bench.servers['db-1']}"
    assert len(bench.call("placement", "GET", allocations).json()["allocations"]) == 2
    assert force_down(bench, down=False) == 400
    bench.cloud.host(dead_host, "power-on")
    until(lambda: evacuations(bench) == ["completed"], "the host cleaned up")
    assert len(bench.call("placement", "GET", allocations).json()["allocations"]) == 1
    assert force_down(bench, down=False) == 200


def test_without_a_host_to_go_to_the_server_ends_in_error(bench: "Bench", dead_host: str) -> None:
    for service in bench.compute("GET", "/os-services?binary=nova-compute").json()["services"]:
        bench.compute("PUT", f"/os-services/{service['id']}", json={"status": "disabled"})
    bench.act("app-1", "2.94", evacuate={})
    server = bench.settled("app-1", "ERROR")
    assert "No valid host was found" in server["fault"]["message"]


def test_a_host_off_the_network_keeps_its_guests_and_makes_zombies(bench: "Bench") -> None:
    bench.cloud.host(HOST, "partition")
    force_down(bench, down=True)
    bench.act("app-1", "2.94", evacuate={})
    bench.settled("app-1")
    guests = bench.cloud.state()["guests"].values()
    assert sum(g["running"] for g in guests if g["uuid"] == bench.servers["app-1"]) == 2


def test_live_migration_carries_guest_volumes_and_allocation(bench: "Bench") -> None:
    body = {"host": "sim-c03", "block_migration": "auto"}
    before = bench.cloud.state()["guests"][f"{bench.servers['db-1']}@{HOST}"]["boot_id"]
    assert bench.act("db-1", **{"os-migrateLive": body}).status_code == 202
    assert bench.settled("db-1")["OS-EXT-SRV-ATTR:host"] == "sim-c03"
    after = bench.cloud.state()["guests"][f"{bench.servers['db-1']}@sim-c03"]
    assert (after["boot_id"], after["running"]) == (before, 1)
    allocations = bench.call("placement", "GET", f"/allocations/{bench.servers['db-1']}").json()
    assert len(allocations["allocations"]) == 1


def test_a_reboot_sent_to_a_dead_compute_fires_when_it_returns(bench: "Bench") -> None:
    bench.cloud.host(HOST, "power-off")
    answer = bench.reboot("app-1")
    assert bench.server("app-1")["OS-EXT-STS:task_state"] == "rebooting_hard"
    assert bench.action("app-1", answer.headers["x-openstack-request-id"])["events"] == []
    bench.cloud.host(HOST, "power-on")
    bench.settled("app-1")
    assert len(bench.cloud.journal("guest.boot")) == 1


def test_attach_to_a_dead_compute_is_500_and_leaves_half_a_mapping(bench: "Bench") -> None:
    bench.cloud.settings(rpc_timeout=0.05)
    bench.act("node-b", **{"os-stop": None})
    bench.settled("node-b", "SHUTOFF")
    path = f"/servers/{bench.servers['node-b']}/os-volume_attachments/{bench.volumes['node-b-vol2']}"
    bench.compute("DELETE", path)
    until(lambda: bench.volume("node-b-vol2")["status"] == "available", "it is detached")
    bench.cloud.host(HOST, "power-off")
    body = {"volumeAttachment": {"volumeId": bench.volumes["node-b-vol2"]}}
    url = f"/servers/{bench.servers['app-1']}/os-volume_attachments"
    assert bench.compute("POST", url, json=body).status_code == 500
    assert bench.volume("node-b-vol2")["status"] == "available"
    bench.cloud.host(HOST, "power-on")
    until(lambda: bench.server("app-1")["os-extended-volumes:volumes_attached"], "the half mapping")
    assert bench.devices("app-1") == []
