"""Volumes of servers: what nova and cinder each know, and what happens when they disagree."""

from typing import TYPE_CHECKING, Any

import pytest
from waiting import until

if TYPE_CHECKING:
    from conftest import Bench


def attach(bench: "Bench", server: str, volume_id: str, version: str = "2.89", **more: Any) -> Any:
    path = f"/servers/{bench.servers[server]}/os-volume_attachments"
    return bench.compute("POST", path, version, json={"volumeAttachment": {"volumeId": volume_id, **more}})


def detach(bench: "Bench", server: str, volume_id: str) -> Any:
    return bench.compute("DELETE", f"/servers/{bench.servers[server]}/os-volume_attachments/{volume_id}", "2.89")


def reset(bench: "Bench", volume: str, **fields: str) -> Any:
    return bench.cinder("POST", f"/volumes/{bench.volumes[volume]}/action", json={"os-reset_status": fields})


def is_in_use(bench: "Bench", volume: str) -> bool:
    return bool(bench.volume(volume)["status"] == "in-use")


def test_shapes_follow_the_microversion(bench: "Bench") -> None:
    path = f"/servers/{bench.servers['db-1']}/os-volume_attachments"
    keys = {
        version: set(bench.compute("GET", path, version).json()["volumeAttachments"][1])
        for version in ("2.1", "2.70", "2.79", "2.89")
    }
    assert keys["2.1"] == {"id", "volumeId", "serverId", "device"}
    assert keys["2.70"] - keys["2.1"] == {"tag"}
    assert keys["2.79"] - keys["2.70"] == {"delete_on_termination"}
    assert keys["2.89"] == {*keys["2.79"], "attachment_id", "bdm_uuid"} - {"id"}


def test_detach_and_attach_again(bench: "Bench") -> None:
    volume_id = bench.volumes["web-1-vol1"]
    assert detach(bench, "web-1", volume_id).status_code == 202
    until(lambda: bench.volume("web-1-vol1")["status"] == "available", "the volume is free")
    assert bench.devices("web-1") == []
    answer = attach(bench, "web-1", volume_id, tag="data", device="/dev/vdb")
    assert answer.status_code == 200
    assert answer.json()["volumeAttachment"]["volumeId"] == volume_id
    until(lambda: is_in_use(bench, "web-1-vol1"), "the volume is in use")
    (device,) = bench.devices("web-1")
    assert (device["tag"], device["device"]) == ("data", "/dev/vdb")
    (attachment,) = bench.volume("web-1-vol1")["attachments"]
    assert (attachment["attachment_id"], attachment["host_name"]) == (device["attachment_id"], "sim-c03")


def test_attach_at_2_101_answers_202_without_a_body(bench: "Bench") -> None:
    detach(bench, "web-1", bench.volumes["web-1-vol1"])
    until(lambda: bench.volume("web-1-vol1")["status"] == "available", "the volume is free")
    answer = attach(bench, "web-1", bench.volumes["web-1-vol1"], "2.101")
    assert (answer.status_code, answer.content) == (202, b"")
    until(lambda: is_in_use(bench, "web-1-vol1"), "the volume is in use")


def test_attaching_twice_is_refused_with_novas_words(bench: "Bench") -> None:
    volume_id = bench.volumes["web-1-vol1"]
    answer = attach(bench, "app-1", volume_id)
    assert (answer.status_code, answer.json()["badRequest"]["message"]) == (
        400,
        f"Invalid volume: volume {volume_id} is already attached to instances: {bench.servers['web-1']}",
    )


def test_status_only_reset_changes_nothing_else(bench: "Bench") -> None:
    assert reset(bench, "web-1-vol1", status="available").status_code == 202
    assert len(bench.volume("web-1-vol1")["attachments"]) == 1
    refused = detach(bench, "web-1", bench.volumes["web-1-vol1"])
    assert refused.status_code == 400
    assert "Volume status must be 'in-use' and attach_status must be 'attached' to detach" in refused.text
    bench.reboot("web-1")
    bench.settled("web-1")
    assert bench.volume("web-1-vol1")["status"] == "available"
    assert len(bench.devices("web-1")) == 1


def test_detached_reset_drops_the_attachment_and_the_next_reboot_the_mapping(bench: "Bench") -> None:
    assert reset(bench, "web-1-vol1", status="error", attach_status="detached").status_code == 202
    volume = bench.volume("web-1-vol1")
    assert (volume["status"], volume["attachments"]) == ("available", [])
    assert len(bench.devices("web-1")) == 1
    assert attach(bench, "web-1", volume["id"]).status_code == 400
    bench.reboot("web-1")
    bench.settled("web-1")
    assert bench.devices("web-1") == []
    assert attach(bench, "web-1", volume["id"]).status_code == 200
    until(lambda: is_in_use(bench, "web-1-vol1"), "the volume is in use")


def test_reset_to_in_use_needs_an_attachment(bench: "Bench") -> None:
    reset(bench, "web-1-vol1", attach_status="detached")
    refused = reset(bench, "web-1-vol1", status="in-use")
    assert (refused.status_code, refused.json()["badRequest"]["message"]) == (
        400,
        "Cannot reset-state to in-use because volume does not have any attachments.",
    )


def test_unknown_status_is_refused(bench: "Bench") -> None:
    refused = reset(bench, "web-1-vol1", status="foo")
    assert refused.status_code == 400
    assert "Volume status: foo is invalid, valid statuses are: (" in refused.json()["badRequest"]["message"]


def test_server_loses_even_its_root_volume_and_looks_healthy(bench: "Bench") -> None:
    bench.cloud.damage("volume-attachments-deleted", bench.volumes["db-1-root"])
    request_id = bench.reboot("db-1").headers["x-openstack-request-id"]
    view = bench.settled("db-1")
    assert bench.volumes["db-1-root"] not in [device["volumeId"] for device in bench.devices("db-1")]
    assert view["image"] == ""
    assert bench.action("db-1", request_id)["events"][0]["result"] == "Success"


def test_attachment_that_nova_does_not_know_is_deleted_at_reboot(bench: "Bench") -> None:
    bench.cloud.damage("bdm-deleted", bench.volumes["web-1-vol1"])
    assert bench.devices("web-1") == []
    assert len(bench.volume("web-1-vol1")["attachments"]) == 1
    bench.reboot("web-1")
    bench.settled("web-1")
    volume = bench.volume("web-1-vol1")
    assert (volume["status"], volume["attachments"]) == ("available", [])


def test_multiattach_volume_keeps_its_other_server(bench: "Bench") -> None:
    volume_id = bench.volumes["cluster-disk"]
    assert len(bench.volume("cluster-disk")["attachments"]) == 2
    assert detach(bench, "node-a", volume_id).status_code == 202
    until(lambda: len(bench.volume("cluster-disk")["attachments"]) == 1, "one attachment is left")
    assert bench.volume("cluster-disk")["status"] == "in-use"


def test_nova_guards_its_attachments_against_cinder_callers(bench: "Bench") -> None:
    (device,) = bench.devices("web-1")
    refused = bench.cinder("DELETE", f"/attachments/{device['attachment_id']}")
    assert (refused.status_code, refused.json()["conflictingRequest"]["message"]) == (
        409,
        f"ConflictNovaUsingAttachment: Detach volume from instance {bench.servers['web-1']} using the Compute API",
    )


def test_attachment_reserved_by_hand_can_be_completed_and_deleted(bench: "Bench") -> None:
    volume_id = bench.volumes["web-1-vol1"]
    detach(bench, "web-1", volume_id)
    until(lambda: bench.volume("web-1-vol1")["status"] == "available", "the volume is free")
    body = {"attachment": {"volume_uuid": volume_id, "instance_uuid": bench.servers["app-1"]}}
    made = bench.cinder("POST", "/attachments", json=body).json()["attachment"]
    assert (made["status"], bench.volume("web-1-vol1")["status"]) == ("reserved", "reserved")
    connector = {"connector": {"host": "sim-c01", "initiator": "iqn", "ip": "127.0.0.1", "multipath": False}}
    assert bench.cinder("PUT", f"/attachments/{made['id']}", json={"attachment": connector}).status_code == 200
    done = bench.cinder("POST", f"/attachments/{made['id']}/action", json={"os-complete": {}})
    assert (done.status_code, bench.volume("web-1-vol1")["status"]) == (204, "in-use")
    assert bench.cinder("DELETE", f"/attachments/{made['id']}").status_code == 200
    assert bench.volume("web-1-vol1")["status"] == "available"


@pytest.mark.parametrize(
    ("kind", "status", "attachments"),
    [
        ("volume-available", "available", 1),
        ("volume-error", "error", 1),
        ("volume-detaching", "detaching", 1),
        ("volume-reserved", "reserved", 1),
        ("volume-error_deleting", "error_deleting", 1),
        ("volume-attachments-deleted", "available", 0),
    ],
)
def test_damage_to_volumes(bench: "Bench", kind: str, status: str, attachments: int) -> None:
    bench.cloud.damage(kind, bench.volumes["web-1-vol1"])
    volume = bench.volume("web-1-vol1")
    assert (volume["status"], len(volume["attachments"])) == (status, attachments)
    assert len(bench.devices("web-1")) == 1
