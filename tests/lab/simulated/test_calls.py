"""The rest of the calls, each once, as the real services answer them."""

from typing import TYPE_CHECKING, Any

import pytest
import requests
from waiting import until

if TYPE_CHECKING:
    from conftest import Bench


def token(bench: "Bench", scope: dict[str, Any] | None, password: str = "simulated") -> requests.Response:
    user = {"name": "admin", "domain": {"id": "default"}, "password": password}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    body = {"auth": auth | ({"scope": scope} if scope else {})}
    return requests.post(f"{bench.cloud.description['urls']['identity']}/v3/auth/tokens", json=body, timeout=5)


def test_tokens_of_a_project_and_of_the_system(bench: "Bench") -> None:
    project = token(bench, {"project": {"name": "admin", "domain": {"id": "default"}}})
    assert project.status_code == 201
    assert project.headers["X-Subject-Token"]
    body = project.json()["token"]
    assert {service["type"] for service in body["catalog"]} >= {"compute", "block-storage", "network", "placement"}
    assert "admin" in [role["name"] for role in body["roles"]]
    assert token(bench, {"system": {"all": True}}).json()["token"]["system"] == {"all": True}
    refused = token(bench, None, "wrong")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        401,
        "The request you have made requires authentication.",
    )


def test_tokens_live_as_long_as_the_setting_says(bench: "Bench") -> None:
    bench.cloud.settings(token_seconds=0.2)
    given = token(bench, {"project": {"name": "admin", "domain": {"id": "default"}}}).headers["X-Subject-Token"]
    url = f"{bench.cloud.description['urls']['compute']}/v2.1/servers"

    def refused() -> bool:
        return requests.get(url, headers={"X-Auth-Token": given}, timeout=5).status_code == 401

    until(refused, "the token has expired")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=SHUTOFF", {"old-1"}),
        ("host=sim-c01", {"db-1", "app-1", "old-1"}),
        ("name=node", {"node-a", "node-b"}),
        ("host=sim-c02&status=ACTIVE&name=app", {"app-2"}),
        ("host=nowhere", set()),
    ],
)
def test_servers_are_filtered(bench: "Bench", query: str, names: set[str]) -> None:
    found = bench.compute("GET", f"/servers/detail?all_tenants=1&{query}").json()["servers"]
    assert {server["name"] for server in found} == names


def test_metadata_is_read_and_written(bench: "Bench") -> None:
    path = f"/servers/{bench.servers['app-1']}/metadata"
    assert bench.compute("GET", path).json()["metadata"] == {"stackmend:after": "db-1,cache-1"}
    bench.compute("POST", path, json={"metadata": {"a": "1"}})
    bench.compute("PUT", f"{path}/b", json={"meta": {"b": "2"}})
    assert bench.server("app-1")["metadata"] == {"stackmend:after": "db-1,cache-1", "a": "1", "b": "2"}
    assert bench.compute("DELETE", f"{path}/a").status_code == 204
    assert bench.compute("GET", f"{path}/a").status_code == 404


@pytest.mark.parametrize(
    ("away", "status", "back"), [("pause", "PAUSED", "unpause"), ("suspend", "SUSPENDED", "resume")]
)
def test_servers_are_held_and_let_go(bench: "Bench", away: str, status: str, back: str) -> None:
    before = bench.cloud.state()["guests"][f"{bench.servers['app-1']}@sim-c01"]["boot_id"]
    assert bench.act("app-1", **{away: None}).status_code == 202
    bench.settled("app-1", status)
    assert bench.act("app-1", **{away: None}).status_code == 409
    assert bench.act("app-1", **{back: None}).status_code == 202
    bench.settled("app-1")
    assert bench.cloud.state()["guests"][f"{bench.servers['app-1']}@sim-c01"]["boot_id"] == before


def test_live_migration_moves_the_running_guest(bench: "Bench") -> None:
    before = bench.cloud.state()["guests"][f"{bench.servers['db-1']}@sim-c01"]["boot_id"]
    body = {"os-migrateLive": {"host": "sim-c03", "block_migration": "auto"}}
    assert bench.act("db-1", **body).status_code == 202
    until(lambda: bench.server("db-1")["OS-EXT-SRV-ATTR:host"] == "sim-c03", "db-1 is on sim-c03")
    bench.settled("db-1")
    assert bench.cloud.state()["guests"][f"{bench.servers['db-1']}@sim-c03"]["boot_id"] == before
    attachments = bench.volume("db-data")["attachments"]
    assert [attachment["host_name"] for attachment in attachments] == ["sim-c03"]


def test_console_interfaces_and_availability_zones(bench: "Bench") -> None:
    output = bench.act("app-1", **{"os-getConsoleOutput": {"length": 5}}).json()["output"]
    assert isinstance(output, str)
    (interface,) = bench.compute("GET", f"/servers/{bench.servers['app-1']}/os-interface").json()[
        "interfaceAttachments"
    ]
    assert interface["port_state"] == "ACTIVE"
    zones = bench.compute("GET", "/os-availability-zone").json()["availabilityZoneInfo"]
    assert "nova" in [zone["zoneName"] for zone in zones]


def test_volumes_are_made_marked_and_deleted(bench: "Bench") -> None:
    made = bench.cinder("POST", "/volumes", json={"volume": {"size": 1, "name": "new"}}).json()["volume"]
    path = f"/volumes/{made['id']}"
    until(lambda: bench.cinder("GET", path).json()["volume"]["status"] == "available", "the volume is made")
    assert bench.cinder("POST", f"{path}/action", json={"os-set_bootable": {"bootable": True}}).status_code == 200
    assert bench.cinder("GET", path).json()["volume"]["bootable"] == "true"
    assert bench.cinder("DELETE", path).status_code == 202
    until(lambda: bench.cinder("GET", path).status_code == 404, "the volume is gone")
    refused = bench.cinder("DELETE", f"/volumes/{bench.volumes['db-data']}")
    assert refused.status_code == 400
    assert "Volume status must be available or error or" in refused.text


def test_volumes_changed_since(bench: "Bench") -> None:
    later = "2098-12-31 23:00:00"
    bench.execute("cinder", "UPDATE volumes SET updated_at = ? WHERE id = ?", later, bench.volumes["db-data"])
    query = "/volumes/detail?all_tenants=1&updated_at=gt:2098-12-31T22:00:00"
    assert [volume["name"] for volume in bench.cinder("GET", query, "3.60").json()["volumes"]] == ["db-data"]


def test_allocations_are_put_and_deleted(bench: "Bench") -> None:
    path = f"/allocations/{bench.servers['app-1']}"
    before = bench.call("placement", "GET", path, "1.36").json()
    providers = bench.call("placement", "GET", "/resource_providers", "1.36").json()["resource_providers"]
    other = next(provider["uuid"] for provider in providers if provider["name"] == "sim-c02")
    moved = {
        "allocations": {other: {"resources": next(iter(before["allocations"].values()))["resources"]}},
        **{key: before[key] for key in ("project_id", "user_id", "consumer_generation")},
    }
    assert bench.call("placement", "PUT", path, "1.36", json=moved).status_code == 204
    assert list(bench.call("placement", "GET", path, "1.36").json()["allocations"]) == [other]
    assert bench.call("placement", "PUT", path, "1.36", json=moved).status_code == 409
    assert bench.call("placement", "DELETE", path, "1.36").status_code == 204
    assert bench.call("placement", "GET", path, "1.36").json()["allocations"] == {}


def test_usages_follow_the_allocations(bench: "Bench") -> None:
    providers = bench.call("placement", "GET", "/resource_providers", "1.36").json()["resource_providers"]
    c01 = next(provider["uuid"] for provider in providers if provider["name"] == "sim-c01")
    assert bench.call("placement", "GET", f"/resource_providers/{c01}/usages", "1.36").json()["usages"]["VCPU"] == 3
    total = bench.call("placement", "GET", f"/resource_providers/{c01}/inventories", "1.36").json()["inventories"]
    assert total["VCPU"]["total"] > 3


def test_a_server_on_a_volume_takes_no_disk_of_its_host(bench: "Bench") -> None:
    def taken(name: str) -> set[str]:
        found = bench.call("placement", "GET", f"/allocations/{bench.servers[name]}", "1.36").json()["allocations"]
        return set(next(iter(found.values()))["resources"])

    assert taken("app-1") - taken("db-1") == {"DISK_GB"}


def test_hypervisors_name_their_servers(bench: "Bench") -> None:
    hypervisors = bench.compute("GET", "/os-hypervisors?with_servers=true").json()["hypervisors"]
    named = {hypervisor["hypervisor_hostname"]: hypervisor["servers"] for hypervisor in hypervisors}
    assert bench.servers["db-1"] in [server["uuid"] for server in named["sim-c01"]]


def test_usages_of_a_project(bench: "Bench") -> None:
    shop = bench.server("app-1")["tenant_id"]
    used = bench.call("placement", "GET", f"/usages?project_id={shop}", "1.36").json()["usages"]
    assert (used["VCPU"], used["MEMORY_MB"]) == (5, 5 * 512)
    grouped = bench.call("placement", "GET", f"/usages?project_id={shop}", "1.38").json()["usages"]
    assert grouped["unknown"]["consumer_count"] == 5


@pytest.mark.parametrize("action", ["os-detach", "os-force_detach"])
def test_cinder_does_not_detach_what_nova_uses(bench: "Bench", action: str) -> None:
    path = f"/volumes/{bench.volumes['db-data']}/action"
    refused = bench.cinder("POST", path, json={action: {}})
    assert refused.status_code == 409
    assert "ConflictNovaUsingAttachment" in refused.text


@pytest.mark.parametrize("kind", ["roles", "domains", "regions", "services", "endpoints"])
def test_keystones_lists(bench: "Bench", kind: str) -> None:
    found = bench.call("identity", "GET", f"/{kind}").json()[kind]
    assert all(item["links"]["self"].endswith(item["id"]) for item in found)
    assert bench.call("identity", "GET", f"/{kind}", member=True).status_code == 403


def test_bindings_of_a_port_are_listed(bench: "Bench") -> None:
    (port,) = bench.call("network", "GET", f"/v2.0/ports?device_id={bench.servers['app-1']}").json()["ports"]
    (binding,) = bench.call("network", "GET", f"/v2.0/ports/{port['id']}/bindings").json()["bindings"]
    assert (binding["host"], binding["status"]) == ("sim-c01", "ACTIVE")


def test_ports_come_in_pages(bench: "Bench") -> None:
    first = bench.call("network", "GET", "/v2.0/ports?limit=4").json()
    assert len(first["ports"]) == 4
    assert "next" in [link["rel"] for link in first["ports_links"]]
    rest = bench.call("network", "GET", f"/v2.0/ports?marker={first['ports'][-1]['id']}").json()["ports"]
    assert len(rest) == len(bench.servers) - 4


def test_images_and_flavors(bench: "Bench") -> None:
    (image,) = bench.call("image", "GET", "/v2/images").json()["images"]
    assert bench.call("image", "GET", f"/v2/images/{image['id']}").json()["status"] == "active"
    flavor, _ = bench.compute("GET", "/flavors/detail").json()["flavors"]
    assert (flavor["name"], flavor["vcpus"]) == ("small", 1)
