"""A host dies once: what is refused before, what evacuation does, and how the host comes back.

The tests stand in the order in which an operator would meet them; what one needs of another is a fixture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from contract.cloud import Cloud
from contract.hosts import allocations, bring_back, force_down, migration, service
from waiting import until

IN_USE = "Compute service of {} is still in use."


@dataclass(frozen=True)
class Loss:
    """A host that is dead, and which servers it had."""

    host: str
    other: str
    third: str
    disk: str
    root: str
    stopped: str
    plain: str
    grouped: str
    stale: str
    volume: str


@pytest.fixture(scope="module")
def living(cloud: Cloud) -> Loss:
    """Servers of each kind on a host that lives."""
    host, other, third = cloud.hosts[:3]
    group = cloud.make_group("anti-affinity")
    root, volume = cloud.make_volume(bootable=True), cloud.make_volume()
    disk, stopped, plain, stale = (cloud.ask_boot(host) for _ in range(4))
    bfv, grouped, neighbour = cloud.ask_boot(host, root=root), cloud.ask_boot(host, group=group), ""
    neighbour = cloud.ask_boot(other, group=group)
    for server in (disk, stopped, plain, stale, bfv, grouped, neighbour):
        cloud.settled(server)
    cloud.attach(disk, volume)
    cloud.act(stopped, {"os-stop": None})
    cloud.settled(stopped, "SHUTOFF")
    return Loss(host, other, third, disk, bfv, stopped, plain, grouped, stale, volume)


@pytest.fixture(scope="module")
def loss(cloud: Cloud, living: Loss) -> Iterator[Loss]:
    """The same, after the host died and was forced down; it returns with the last test at the latest."""
    assert evacuate(cloud, living.disk).json()["badRequest"]["message"] == IN_USE.format(living.host)
    cloud.lab.host(living.host, "power-off")
    # Nova has not noticed yet, and believes what it knew.
    assert service(cloud, living.host)["state"] == "up"
    assert evacuate(cloud, living.disk).status_code == 400
    answer = force_down(cloud, living.host)
    told = answer.json()["service"]
    assert (answer.status_code, told["state"], told["forced_down"], told["status"]) == (200, "down", True, "enabled")
    yield living
    if service(cloud, living.host)["forced_down"]:
        bring_back(cloud, living.host)


def evacuate(cloud: Cloud, server: str, at: str = "2.94", **given: Any) -> Any:
    """POST evacuate."""
    return cloud.act(server, {"evacuate": given}, at=at)


def evacuated(cloud: Cloud, server: str, answer: Any) -> list[dict[str, Any]]:
    """The events of an evacuation, once its record is done or has failed."""
    assert answer.status_code == 200, answer.text
    until(lambda: migration(cloud, server)["status"] in ("done", "error", "failed"), "the evacuation has ended", 60)
    return cloud.finished(server, answer.headers["x-openstack-request-id"])


def test_a_refused_evacuation_leaves_nothing(cloud: Cloud, loss: Loss) -> None:
    taken = cloud.nova("GET", f"/servers/{loss.disk}/os-instance-actions").json()["instanceActions"]
    assert "evacuate" not in [action["action"] for action in taken]
    assert cloud.nova("GET", f"/os-migrations?instance_uuid={loss.disk}").json()["migrations"] == []


def test_a_host_that_is_forced_down_shows_at_its_servers(cloud: Cloud, loss: Loss) -> None:
    view = cloud.server(loss.disk)
    assert (view["host_status"], view["status"], view["OS-EXT-STS:power_state"]) == ("DOWN", "ACTIVE", 1)


def test_targets_that_are_refused(cloud: Cloud, loss: Loss) -> None:
    same, unknown = evacuate(cloud, loss.disk, host=loss.host), evacuate(cloud, loss.disk, host="nowhere")
    assert (same.status_code, same.json()["badRequest"]["message"]) == (400, "The target host can't be the same one.")
    assert (unknown.status_code, unknown.json()["itemNotFound"]["message"]) == (404, "Compute host nowhere not found.")
    for words in ({"force": True}, {"onSharedStorage": False}):
        assert "Additional properties are not allowed" in evacuate(cloud, loss.disk, **words).text


def test_a_target_that_the_filters_refuse_puts_the_server_in_error(cloud: Cloud, loss: Loss) -> None:
    answer = evacuate(cloud, loss.grouped, host=loss.other)
    (event,) = evacuated(cloud, loss.grouped, answer)
    assert (event["event"], event["result"]) == ("rebuild_server", "Error")
    view = cloud.settled(loss.grouped, "ERROR")
    assert view["fault"]["message"].startswith("No valid host was found.")
    assert view["OS-EXT-SRV-ATTR:host"] == loss.host
    assert migration(cloud, loss.grouped)["status"] == "error"
    assert allocations(cloud, loss.grouped) == {loss.host}


def test_a_server_in_error_is_evacuated_to_where_its_group_allows(cloud: Cloud, loss: Loss) -> None:
    evacuated(cloud, loss.grouped, evacuate(cloud, loss.grouped))
    view = cloud.settled(loss.grouped)
    assert view["OS-EXT-SRV-ATTR:host"] == loss.third


@dataclass(frozen=True)
class Moved:
    """An evacuation at 2.94 to a host that was named: its events, and the attachment that the volume had."""

    events: list[dict[str, Any]]
    attachment: str


@pytest.fixture(scope="module")
def moved(cloud: Cloud, loss: Loss) -> Moved:
    """The server with a volume, evacuated to the other host."""
    old = cloud.attachments(loss.volume)[0]["id"]
    return Moved(evacuated(cloud, loss.disk, evacuate(cloud, loss.disk, host=loss.other)), old)


def test_before_2_95_the_server_runs_on_the_named_host(cloud: Cloud, loss: Loss, moved: Moved) -> None:
    assert {(event["event"], event["result"]) for event in moved.events} == {
        ("rebuild_server", "Success"),
        ("compute_rebuild_instance", "Success"),
    }
    view = cloud.settled(loss.disk)
    assert view["OS-EXT-SRV-ATTR:host"] == view["OS-EXT-SRV-ATTR:hypervisor_hostname"] == loss.other


def test_its_volume_has_a_new_attachment(cloud: Cloud, loss: Loss, moved: Moved) -> None:
    (new,) = cloud.attachments(loss.volume)
    assert new["id"] != moved.attachment
    assert (new["attached_host"], new["attach_status"]) == (loss.other, "attached")
    assert cloud.device(loss.disk, loss.volume)["attachment_id"] == new["id"]
    sql = "SELECT deleted, attach_status FROM volume_attachment WHERE id = :old"
    gone = cloud.row("cinder", sql, old=moved.attachment)
    assert (bool(gone["deleted"]), gone["attach_status"]) == (True, "detached")


@pytest.mark.usefixtures("moved")
def test_the_rows_say_where_it_is(cloud: Cloud, loss: Loss) -> None:
    sql = "SELECT i.host, i.node, n.host AS by_id FROM instances i JOIN compute_nodes n ON n.id = i.compute_id"
    row = cloud.row("nova", f"{sql} WHERE i.uuid = :server", server=loss.disk)
    assert (row["host"], row["node"], row["by_id"]) == (loss.other,) * 3
    port = until(lambda: [p for p in cloud.ports(loss.disk) if p["status"] == "ACTIVE"], "its port is ACTIVE")[0]
    assert (port["binding:host_id"], port["binding:vif_type"]) == (loss.other, "ovs")
    for table in ("ml2_port_bindings", "ml2_port_binding_levels"):
        bound = cloud.rows("neutron", f"SELECT host FROM {table} WHERE port_id = :port", port=port["id"])
        assert [row["host"] for row in bound] == [loss.other]


def test_from_2_95_on_it_is_stopped_after_it_ran(cloud: Cloud, loss: Loss) -> None:
    events = evacuated(cloud, loss.root, evacuate(cloud, loss.root, at="2.95"))
    assert "compute_stop_instance" in {event["event"] for event in events}
    view = cloud.settled(loss.root, "SHUTOFF")
    assert view["OS-EXT-SRV-ATTR:host"] != loss.host
    cloud.act(loss.root, {"os-start": None})
    cloud.settled(loss.root)


def test_a_stopped_server_stays_stopped_at_any_version(cloud: Cloud, loss: Loss) -> None:
    evacuated(cloud, loss.stopped, evacuate(cloud, loss.stopped))
    assert cloud.settled(loss.stopped, "SHUTOFF")["OS-EXT-SRV-ATTR:host"] != loss.host


def test_before_2_14_shared_storage_is_named_and_a_password_told(cloud: Cloud, loss: Loss) -> None:
    answer = evacuate(cloud, loss.plain, at="2.13", onSharedStorage=False, host=loss.third)
    evacuated(cloud, loss.plain, answer)
    assert answer.json()["adminPass"]
    assert cloud.settled(loss.plain)["OS-EXT-SRV-ATTR:host"] == loss.third


@pytest.mark.usefixtures("moved")
def test_the_record_of_an_evacuation(cloud: Cloud, loss: Loss) -> None:
    record = migration(cloud, loss.disk)
    assert (record["migration_type"], record["status"]) == ("evacuation", "done")
    assert (record["source_compute"], record["source_node"]) == (loss.host, loss.host)
    assert (record["dest_compute"], record["dest_node"]) == (loss.other, loss.other)
    assert (record["old_instance_type_id"], record["new_instance_type_id"]) == (None, None)
    by_host = cloud.nova("GET", f"/os-migrations?source_compute={loss.host}&migration_type=evacuation&status=done")
    assert loss.disk in [one["instance_uuid"] for one in by_host.json()["migrations"]]
    assert cloud.nova("GET", f"/servers/{loss.disk}/migrations").json()["migrations"] == []


def test_a_stranded_server_is_live_migrated_in_words_only(cloud: Cloud, loss: Loss) -> None:
    answer = cloud.act(loss.stale, {"os-migrateLive": {"host": loss.other, "block_migration": "auto"}})
    assert answer.status_code == 202
    assert cloud.finished(loss.stale, answer.headers["x-openstack-request-id"])[0]["result"] == "Error"
    view = cloud.settled(loss.stale)
    assert (view["OS-EXT-SRV-ATTR:host"], migration(cloud, loss.stale)["status"]) == (loss.host, "error")


@pytest.fixture(scope="module")
def moved_by_sql(cloud: Cloud, loss: Loss) -> dict[str, Any]:
    """A server whose rows were moved to a third host, and the event of its reboot there."""
    node = cloud.row("nova", "SELECT id FROM compute_nodes WHERE host = :host AND deleted = 0", host=loss.third)["id"]
    cloud.set_states(loss.stale, host=loss.third, node=loss.third, compute_id=node)
    (event,) = cloud.reboot(loss.stale)
    return event


def test_moved_by_sql_a_hard_reboot_brings_it_up_but_port_and_allocation_stay(
    cloud: Cloud, loss: Loss, moved_by_sql: dict[str, Any]
) -> None:
    assert (moved_by_sql["result"], moved_by_sql["host"]) == ("Success", loss.third)
    assert cloud.settled(loss.stale)["OS-EXT-SRV-ATTR:host"] == loss.third
    (port,) = cloud.ports(loss.stale)
    assert port["binding:host_id"] == loss.host
    assert allocations(cloud, loss.stale) == {loss.host}
    told = cloud.neutron("PUT", f"/ports/{port['id']}", {"port": {"binding:host_id": loss.third}}).json()["port"]
    assert (told["binding:host_id"], told["binding:vif_type"], told["status"]) == (loss.third, "ovs", "DOWN")
    until(lambda: cloud.ports(loss.stale)[0]["status"] == "ACTIVE", "the port is wired again")


@pytest.mark.usefixtures("moved")
def test_the_allocation_on_the_source_is_left_behind(cloud: Cloud, loss: Loss) -> None:
    assert allocations(cloud, loss.disk) == {loss.host, loss.other}


@pytest.mark.usefixtures("moved")
def test_while_records_are_done_the_host_is_not_forced_up(cloud: Cloud, loss: Loss) -> None:
    answer = force_down(cloud, loss.host, down=False)
    message = answer.json()["badRequest"]["message"]
    assert answer.status_code == 400
    assert message.startswith(f"Unable to force up host {loss.host} as `done` evacuation migration records remain")


@pytest.fixture(scope="module")
def back(cloud: Cloud, loss: Loss, moved: Moved, moved_by_sql: dict[str, Any]) -> None:
    """The host has power again, has cleaned up and was forced up."""
    bring_back(cloud, loss.host)


@pytest.mark.usefixtures("back")
def test_the_host_cleans_up_when_nova_compute_returns(cloud: Cloud, loss: Loss) -> None:
    assert migration(cloud, loss.disk)["status"] == "completed"
    assert allocations(cloud, loss.disk) == {loss.other}
    # What SQL moved is nobody's to clean up.
    assert allocations(cloud, loss.stale) == {loss.host}


@pytest.mark.usefixtures("back")
def test_it_takes_servers_again(cloud: Cloud, loss: Loss) -> None:
    cloud.boot(loss.host)
