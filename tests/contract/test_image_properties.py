"""What a server's image asks for: where it is shown, what stays with the server, and what is refused for it."""

from collections.abc import Iterator
from typing import Any

import pytest
from contract.cloud import Cloud

# One that nova knows and this lab's driver passes over, and one that is nobody's.
GIVEN = {"hw_machine_type": "q35", "contract_note": "mine"}
REFUSED = "Operation '{}' not supported for {} instance ({})."


def listed(cloud: Cloud, server: str, at: str) -> dict[str, Any]:
    """A server in the detailed list."""
    rows = cloud.nova("GET", "/servers/detail?all_tenants=1", at=at).json()["servers"]
    (found,) = [row for row in rows if row["id"] == server]
    return dict(found)


def remember(cloud: Cloud, server: str, **properties: str) -> None:
    """Put properties into nova's copy of a server's image, as if it had been made from such a one."""
    sql = (
        "INSERT INTO instance_system_metadata (instance_uuid, `key`, value, deleted) VALUES (:server, :name, :value, 0)"
    )
    for name, value in properties.items():
        cloud.execute("nova", sql, server=server, name=f"image_{name}", value=value)


def remembered(cloud: Cloud, server: str) -> dict[str, str]:
    """Nova's copy of the properties of a server's image."""
    sql = "SELECT `key` AS name, value FROM instance_system_metadata WHERE instance_uuid = :server AND deleted = 0"
    rows = cloud.rows("nova", sql, server=server)
    return {row["name"].removeprefix("image_"): row["value"] for row in rows if row["name"].startswith("image_")}


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> Iterator[str]:
    """An image with properties; its id. A test may have deleted it."""
    body = {"name": "contract-properties", "disk_format": "raw", "container_format": "bare", **GIVEN}
    answer = cloud.call("image", "POST", "/v2/images", json=body)
    assert answer.status_code == 201, answer.text
    made = str(answer.json()["id"])
    octets = {"Content-Type": "application/octet-stream"}
    assert cloud.call("image", "PUT", f"/v2/images/{made}/file", data=bytes(1024), headers=octets).status_code == 204
    yield made
    cloud.call("image", "DELETE", f"/v2/images/{made}")


@pytest.fixture(scope="module")
def made(cloud: Cloud, image: str) -> str:
    """A server made from it."""
    return cloud.boot(cloud.hosts[0], imageRef=image)


def test_glance_shows_them_beside_its_fields(cloud: Cloud, image: str) -> None:
    found = cloud.call("image", "GET", f"/v2/images/{image}").json()
    assert {name: found[name] for name in GIVEN} == GIVEN
    assert found["status"] == "active"


def test_from_2_98_nova_shows_those_that_it_knows(cloud: Cloud, made: str) -> None:
    for view in (cloud.server(made), listed(cloud, made, "2.98")):
        shown = view["image"]["properties"]
        assert (shown["hw_machine_type"], "contract_note" in shown) == ("q35", False)
    assert "properties" not in listed(cloud, made, "2.97")["image"]


def test_a_server_keeps_them_when_its_image_is_gone(cloud: Cloud, image: str, made: str) -> None:
    assert cloud.call("image", "DELETE", f"/v2/images/{image}").status_code == 204
    assert cloud.call("image", "GET", f"/v2/images/{image}").status_code == 404
    assert cloud.server(made)["image"]["properties"]["hw_machine_type"] == "q35"


@pytest.fixture(scope="module")
def root(cloud: Cloud) -> str:
    """A bootable volume with the properties of an image."""
    volume = cloud.make_volume(bootable=True)
    answer = cloud.cinder("POST", f"/volumes/{volume}/action", {"os-set_image_metadata": {"metadata": GIVEN}})
    assert (answer.status_code, answer.json()["metadata"]) == (200, GIVEN)
    return volume


@pytest.fixture(scope="module")
def on_a_volume(cloud: Cloud, root: str) -> str:
    """A server that boots from it."""
    return cloud.boot(cloud.hosts[0], root=root)


def test_cinder_lists_those_of_a_volume_that_has_any(cloud: Cloud, root: str) -> None:
    plain = cloud.make_volume()
    found = {row["id"]: row for row in cloud.cinder("GET", "/volumes/detail?all_tenants=1").json()["volumes"]}
    assert found[root]["volume_image_metadata"] == GIVEN
    assert "volume_image_metadata" not in found[plain]


def test_nova_keeps_those_of_a_root_volume_and_shows_none(cloud: Cloud, on_a_volume: str) -> None:
    kept = remembered(cloud, on_a_volume)
    assert {name: kept[name] for name in GIVEN} == GIVEN
    assert cloud.server(on_a_volume)["image"] == ""
    assert listed(cloud, on_a_volume, "2.98")["image"] == ""


def test_a_virtual_tpm_is_neither_evacuated_nor_live_migrated(cloud: Cloud) -> None:
    server = cloud.boot(cloud.hosts[0])
    remember(cloud, server, hw_tpm_version="2.0")
    assert cloud.server(server)["image"]["properties"]["hw_tpm_version"] == "2.0"
    # Said before nova looks at the host, which lives.
    orders = {"evacuate": {"evacuate": {}}, "live-migration": live()}
    for operation, order in orders.items():
        answer = cloud.act(server, order)
        told = (answer.status_code, answer.json()["badRequest"]["message"])
        assert told == (400, REFUSED.format(operation, "vTPM-enabled", server))


def test_encrypted_memory_is_not_live_migrated(cloud: Cloud) -> None:
    server = cloud.boot(cloud.hosts[0])
    remember(cloud, server, hw_mem_encryption="true", hw_firmware_type="uefi", hw_machine_type="q35")
    answer = cloud.act(server, live())
    kind = "SEV-enabled" if cloud.release == "2025.1" else "mem encryption enabled"
    told = (answer.status_code, answer.json()["badRequest"]["message"])
    assert told == (400, REFUSED.format("live-migration", kind, server))
    # An evacuation is refused for its host only.
    answer = cloud.act(server, {"evacuate": {}})
    assert answer.json()["badRequest"]["message"] == f"Compute service of {cloud.hosts[0]} is still in use."


def live() -> dict[str, Any]:
    """An order to live-migrate to wherever the scheduler likes."""
    return {"os-migrateLive": {"host": None, "block_migration": "auto"}}
