"""Placement: the providers of hosts, and what servers hold on them."""

import uuid
from typing import Any

from contract.cloud import Cloud
from contract.hosts import provider


def error(answer: Any) -> dict[str, Any]:
    return dict(answer.json()["errors"][0])


def test_a_provider_has_the_hosts_name_and_its_nodes_id(cloud: Cloud) -> None:
    for host in cloud.hosts:
        row = cloud.row("nova", "SELECT uuid FROM compute_nodes WHERE host = :host AND deleted = 0", host=host)
        assert provider(cloud, host) == row["uuid"]
    assert cloud.placement("GET", "/resource_providers?name=nowhere").json() == {"resource_providers": []}


def test_inventories_and_usages(cloud: Cloud, server: str) -> None:
    path = f"/resource_providers/{provider(cloud, cloud.hosts[0])}"
    inventories = cloud.placement("GET", f"{path}/inventories").json()["inventories"]
    assert set(inventories) == {"VCPU", "MEMORY_MB", "DISK_GB"}
    assert {"total", "reserved", "allocation_ratio", "max_unit"} <= set(inventories["VCPU"])
    held = cloud.placement("GET", f"{path}/allocations").json()["allocations"]
    usages = cloud.placement("GET", f"{path}/usages").json()["usages"]
    assert server in held
    assert usages["VCPU"] == sum(one["resources"]["VCPU"] for one in held.values())
    assert "COMPUTE_NODE" in cloud.placement("GET", f"{path}/traits").json()["traits"]


def test_what_a_server_holds(cloud: Cloud, server: str) -> None:
    view, answer = cloud.server(server), cloud.placement("GET", f"/allocations/{server}").json()
    (held,) = answer["allocations"].values()
    flavor = view["flavor"]
    assert held["resources"] == {"VCPU": flavor["vcpus"], "MEMORY_MB": flavor["ram"], "DISK_GB": flavor["disk"]}
    assert list(answer["allocations"]) == [provider(cloud, cloud.hosts[0])]
    assert (answer["project_id"], answer["user_id"]) == (view["tenant_id"], view["user_id"])


def test_nobodys_allocations_are_empty_not_missing(cloud: Cloud) -> None:
    nobody = str(uuid.uuid4())
    answer = cloud.placement("GET", f"/allocations/{nobody}")
    assert (answer.status_code, answer.json()) == (200, {"allocations": {}})
    gone = cloud.placement("DELETE", f"/allocations/{nobody}")
    assert (gone.status_code, f"No allocations for consumer '{nobody}'" in error(gone)["detail"]) == (404, True)
    missing = cloud.placement("GET", f"/resource_providers/{nobody}")
    assert missing.status_code == 404
    assert f"No resource provider with uuid {nobody} found" in error(missing)["detail"]


def test_allocations_are_replaced_as_a_whole_and_by_generation(cloud: Cloud, server: str) -> None:
    first, second = (provider(cloud, host) for host in cloud.hosts[:2])
    read = cloud.placement("GET", f"/allocations/{server}").json()
    resources = read["allocations"][first]["resources"]
    body = {name: read[name] for name in ("project_id", "user_id", "consumer_generation")}
    # consumer_type is read as "unknown", and refused when it is written so.
    body |= {"consumer_type": "INSTANCE", "allocations": {second: {"resources": resources}}}
    stale = cloud.placement("PUT", f"/allocations/{server}", body | {"consumer_generation": 99})
    assert (stale.status_code, error(stale)["code"]) == (409, "placement.concurrent_update")
    assert cloud.placement("PUT", f"/allocations/{server}", body | {"consumer_type": "unknown"}).status_code == 400
    unknown = {str(uuid.uuid4()): {"resources": resources}}
    refused = cloud.placement("PUT", f"/allocations/{server}", body | {"allocations": unknown})
    assert (refused.status_code, "that does not exist." in error(refused)["detail"]) == (400, True)
    assert cloud.placement("PUT", f"/allocations/{server}", body).status_code == 204
    now = cloud.placement("GET", f"/allocations/{server}").json()
    assert (list(now["allocations"]), now["consumer_generation"]) == ([second], body["consumer_generation"] + 1)
    back = body | {"consumer_generation": now["consumer_generation"], "allocations": {first: {"resources": resources}}}
    assert cloud.placement("PUT", f"/allocations/{server}", back).status_code == 204


def test_placement_is_no_members_business(cloud: Cloud, server: str) -> None:
    for path, rule in (
        ("/resource_providers", "resource_providers:list"),
        (f"/allocations/{server}", "allocations:list"),
    ):
        answer = cloud.placement("GET", path, member=True)
        assert answer.status_code == 403
        assert f"Policy does not allow placement:{rule} to be performed." in error(answer)["detail"]
