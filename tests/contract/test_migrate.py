"""Live migration, cold migration and resize, between hosts that live."""

from typing import Any

import pytest
from contract.cloud import Cloud
from contract.hosts import allocations, follow, migration
from waiting import until


@pytest.fixture(scope="module")
def server(cloud: Cloud) -> str:
    """A running server with a tagged volume."""
    server = cloud.boot(cloud.hosts[0])
    cloud.attach(server, cloud.make_volume(), tag="data")
    return server


def to(host: str | None) -> dict[str, Any]:
    """The order of a live migration."""
    return {"os-migrateLive": {"host": host, "block_migration": "auto"}}


def live(cloud: Cloud, server: str, host: str | None) -> Any:
    """POST a live migration."""
    return cloud.act(server, to(host))


def ended(cloud: Cloud, server: str, status: str) -> dict[str, Any]:
    """The newest record of a server, once it has that status."""
    until(lambda: migration(cloud, server)["status"] == status, f"the migration is {status}", 60)
    return migration(cloud, server)


def where(cloud: Cloud, server: str) -> str:
    return str(cloud.server(server)["OS-EXT-SRV-ATTR:host"])


def test_what_the_answer_refuses(cloud: Cloud, server: str) -> None:
    unknown = live(cloud, server, "nowhere")
    assert (unknown.status_code, unknown.json()["badRequest"]["message"]) == (
        400,
        "Compute host nowhere could not be found.",
    )
    missing = cloud.act(server, {"os-migrateLive": {"host": cloud.hosts[1]}})
    assert missing.status_code == 400
    assert "'block_migration' is a required property" in missing.text


def test_what_only_the_record_tells(cloud: Cloud, server: str) -> None:
    here = where(cloud, server)
    record = follow(cloud, server, to(here), "error", "completed")
    newest = cloud.nova("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"][0]["request_id"]
    events = cloud.finished(server, newest)
    assert [(event["event"], event["result"]) for event in events] == [("conductor_live_migrate_instance", "Error")]
    assert (cloud.action(server, newest)["message"], record["status"]) == ("Error", "error")
    assert (record["migration_type"], record["source_compute"], record["dest_compute"]) == (
        "live-migration",
        here,
        None,
    )
    view = cloud.settled(server)
    assert (view["status"], view["OS-EXT-SRV-ATTR:host"], "fault" in view) == ("ACTIVE", here, False)


def test_live_migration_to_a_named_host(cloud: Cloud, server: str) -> None:
    source = where(cloud, server)
    target = next(host for host in cloud.hosts if host != source)
    (volume,) = [device["volumeId"] for device in cloud.devices(server)]
    (old,) = cloud.attachments(volume)
    record = follow(cloud, server, to(target), "completed")
    assert (record["source_compute"], record["dest_compute"]) == (source, target)
    assert (record["old_instance_type_id"] is None, record["new_instance_type_id"] is None) == (False, False)
    view = cloud.settled(server)
    assert view["OS-EXT-SRV-ATTR:host"] == target
    (new,) = cloud.attachments(volume)
    assert (new["id"] != old["id"], new["attached_host"], new["mountpoint"]) == (True, target, old["mountpoint"])
    device = cloud.device(server, volume)
    assert (device["attachment_id"], device["tag"]) == (new["id"], "data")
    assert allocations(cloud, server) == {target}


@pytest.fixture(scope="module")
def migrated(cloud: Cloud, server: str) -> str:
    """The server, after a live migration to a host that the scheduler chose."""
    cloud.settled(server)
    follow(cloud, server, to(None), "completed")
    return server


def test_afterwards_one_binding_is_left(cloud: Cloud, migrated: str) -> None:
    server = migrated
    until(lambda: cloud.ports(server)[0]["status"] == "ACTIVE", "its port is ACTIVE")
    (port,) = cloud.ports(server)
    (binding,) = cloud.neutron("GET", f"/ports/{port['id']}/bindings").json()["bindings"]
    assert (binding["host"], binding["status"], binding["vif_type"]) == (where(cloud, server), "ACTIVE", "ovs")
    row = cloud.row("neutron", "SELECT * FROM ml2_port_binding_levels WHERE port_id = :port", port=port["id"])
    assert (row["host"], row["level"]) == (binding["host"], 0)


def test_a_migration_at_rest_is_neither_shown_nor_ended_nor_hurried(cloud: Cloud, migrated: str) -> None:
    server = migrated
    path = f"/servers/{server}/migrations/{migration(cloud, server)['id']}"
    shown = cloud.nova("GET", path)
    assert (shown.status_code, "is not in progress" in shown.text) == (404, True)
    for method, url, body, verb in (
        ("DELETE", path, None, "abort live migration"),
        ("POST", f"{path}/action", {"force_complete": None}, "force_complete"),
    ):
        answer = cloud.nova(method, url, body)
        message = f"Instance {server} is in an invalid state for '{verb}'"
        assert (answer.status_code, answer.json()["conflictingRequest"]["message"]) == (409, message)


def test_while_one_goes_on_another_is_refused(cloud: Cloud, server: str) -> None:
    cloud.set_states(server, task_state="migrating")
    answer = live(cloud, server, None)
    cloud.set_states(server, task_state=None)
    message = f"Cannot 'os-migrateLive' instance {server} while it is in task_state migrating"
    assert (answer.status_code, answer.json()["conflictingRequest"]["message"]) == (409, message)


def test_cold_migration_of_a_stopped_server_waits_to_be_confirmed(cloud: Cloud) -> None:
    source, target = cloud.hosts[1:3]
    server = cloud.boot(source)
    cloud.act(server, {"os-stop": None})
    cloud.settled(server, "SHUTOFF")
    assert live(cloud, server, target).status_code == 409
    same = cloud.act(server, {"migrate": {"host": source}})
    message = "Cannot migrate to the host where the server exists."
    assert (same.status_code, same.json()["badRequest"]["message"]) == (400, message)
    assert cloud.act(server, {"migrate": {"host": target}}).status_code == 202
    view = cloud.settled(server, "VERIFY_RESIZE")
    assert (view["OS-EXT-SRV-ATTR:host"], view["OS-EXT-STS:vm_state"]) == (target, "resized")
    record = ended(cloud, server, "finished")
    assert (record["migration_type"], record["source_compute"], record["dest_compute"]) == ("migration", source, target)
    assert cloud.ask_reboot(server).status_code == 409
    assert allocations(cloud, server) == {target}
    confirmed = cloud.act(server, {"confirmResize": None})
    assert (confirmed.status_code, confirmed.content) == (204, b"")
    ended(cloud, server, "confirmed")
    assert cloud.settled(server, "SHUTOFF")["OS-EXT-STS:power_state"] == 4
    again = cloud.act(server, {"confirmResize": None})
    assert (again.status_code, "while it is in vm_state stopped" in again.text) == (409, True)


def test_a_resize_that_is_reverted_goes_home(cloud: Cloud) -> None:
    server = cloud.boot(cloud.hosts[1])
    small = cloud.server(server)["flavor"]
    answer = cloud.act(server, {"resize": {"flavorRef": cloud.flavors[0]}})
    message = "When resizing, instances must change flavor!"
    assert (answer.status_code, answer.json()["badRequest"]["message"]) == (400, message)
    assert cloud.act(server, {"resize": {"flavorRef": cloud.flavors[1]}}).status_code == 202
    view = cloud.settled(server, "VERIFY_RESIZE")
    assert view["flavor"]["vcpus"] == 2
    assert migration(cloud, server)["migration_type"] == "resize"
    assert cloud.act(server, {"revertResize": None}).status_code == 202
    ended(cloud, server, "reverted")
    view = cloud.settled(server)
    assert (view["OS-EXT-SRV-ATTR:host"], view["flavor"]) == (cloud.hosts[1], small)
    assert allocations(cloud, server) == {cloud.hosts[1]}
