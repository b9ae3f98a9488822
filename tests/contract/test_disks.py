"""Volumes of a server: attach, detach, and what a hard reboot makes of damage."""

import uuid

import pytest
from contract.cloud import Cloud
from waiting import until

UNDELETE = "UPDATE volume_attachment SET deleted = 0, deleted_at = NULL, detach_time = NULL, attach_status = 'attached'"


@pytest.fixture(scope="module")
def server(cloud: Cloud) -> str:
    """A running server that every test leaves running, with the volumes it had."""
    return cloud.boot(cloud.hosts[0])


@pytest.fixture
def volume(cloud: Cloud, server: str) -> str:
    """A volume attached to the server."""
    made = cloud.make_volume()
    cloud.attach(server, made)
    return made


def states(cloud: Cloud, volume: str) -> tuple[str, str]:
    row = cloud.row("cinder", "SELECT status, attach_status FROM volumes WHERE id = :volume", volume=volume)
    return row["status"], row["attach_status"]


def ids(cloud: Cloud, server: str, volume: str) -> tuple[list[str], list[str]]:
    """The attachment ids that nova's mappings name, and those that cinder has."""
    named = [row["attachment_id"] for row in cloud.mappings(server, volume)]
    return named, [row["id"] for row in cloud.attachments(volume)]


def test_attach_keeps_tag_and_delete_on_termination(cloud: Cloud, server: str) -> None:
    volume = cloud.make_volume()
    answer = cloud.ask_attach(server, volume, tag="data", delete_on_termination=True)
    told = answer.json()["volumeAttachment"]
    assert (told["volumeId"], told["tag"], told["delete_on_termination"]) == (volume, "data", True)
    until(lambda: cloud.attached_to(volume, server), "the volume is attached")
    device = cloud.device(server, volume)
    assert (device["device"], device["tag"], device["delete_on_termination"]) == (told["device"], "data", True)
    (row,) = cloud.mappings(server, volume)
    assert (row["tag"], bool(row["delete_on_termination"]), row["boot_index"]) == ("data", True, None)


def test_the_rows_of_an_attachment_name_each_other(cloud: Cloud, server: str, volume: str) -> None:
    (mapping,), (attachment,) = cloud.mappings(server, volume), cloud.attachments(volume)
    assert mapping["attachment_id"] == attachment["id"] == cloud.device(server, volume)["attachment_id"]
    assert (attachment["instance_uuid"], attachment["attached_host"]) == (server, cloud.hosts[0])
    assert (attachment["attach_status"], attachment["mountpoint"]) == ("attached", mapping["device_name"])
    assert states(cloud, volume) == ("in-use", "attached")
    (seen,) = cloud.volume(volume)["attachments"]
    assert (seen["attachment_id"], seen["server_id"], seen["host_name"]) == (attachment["id"], server, cloud.hosts[0])


def test_detach_deletes_both(cloud: Cloud, server: str, volume: str) -> None:
    answer = cloud.nova("DELETE", f"/servers/{server}/os-volume_attachments/{volume}")
    assert (answer.status_code, answer.content) == (202, b"")
    until(lambda: states(cloud, volume) == ("available", "detached"), "the volume is available")
    until(lambda: ids(cloud, server, volume) == ([], []), "nothing names the volume")


def test_a_device_that_is_asked_for_is_given_under_the_roots_prefix(cloud: Cloud, server: str) -> None:
    volume, other = cloud.make_volume(), cloud.make_volume()
    prefix = cloud.server(server)["OS-EXT-SRV-ATTR:root_device_name"][:-1]
    assert cloud.attach(server, volume, device="/dev/vdz")["device"] == f"{prefix}z"
    answer = cloud.ask_attach(server, other, device="/dev/vdz")
    assert (answer.status_code, answer.json()["conflictingRequest"]["message"]) == (
        409,
        "The supplied device path (/dev/vdz) is in use.",
    )


def test_a_volume_that_is_attached_is_refused(cloud: Cloud, server: str, volume: str) -> None:
    answer = cloud.ask_attach(server, volume)
    message = f"Invalid volume: volume {volume} is already attached to instances: {server}"
    assert (answer.status_code, answer.json()) == (400, {"badRequest": {"code": 400, "message": message}})


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("maintenance", "status must be available or downloading to reserve, but the current status is maintenance."),
        ("reserved", "status must be available or downloading to reserve, but the current status is reserved."),
        ("error", "Volume attachments can not be created if the volume is in an error state."),
    ],
)
def test_a_volume_in_another_state_is_refused(cloud: Cloud, server: str, status: str, words: str) -> None:
    volume = cloud.make_volume()
    cloud.reset(volume, status=status)
    answer = cloud.ask_attach(server, volume)
    assert answer.status_code == 400
    assert words in answer.json()["badRequest"]["message"]
    assert ids(cloud, server, volume) == ([], [])


def test_what_there_is_none_of(cloud: Cloud, server: str) -> None:
    nothing = str(uuid.uuid4())
    answer = cloud.ask_attach(server, nothing)
    assert (answer.status_code, answer.json()["itemNotFound"]["message"]) == (
        404,
        f"Volume {nothing} could not be found.",
    )
    assert cloud.nova("DELETE", f"/servers/{server}/os-volume_attachments/{nothing}").status_code == 404
    answer = cloud.cinder("GET", f"/attachments/{nothing}")
    message = f"Volume attachment could not be found with filter: attachment_id = {nothing}."
    assert (answer.status_code, answer.json()["itemNotFound"]["message"]) == (404, message)


def test_without_a_service_token_an_attachment_that_nova_uses_stays(cloud: Cloud, server: str, volume: str) -> None:
    answer = cloud.cinder("DELETE", f"/attachments/{cloud.attachments(volume)[0]['id']}")
    assert answer.status_code == 409
    message = answer.json()["conflictingRequest"]["message"]
    assert message == f"ConflictNovaUsingAttachment: Detach volume from instance {server} using the Compute API"
    assert states(cloud, volume) == ("in-use", "attached")


def test_a_summary_that_says_available_is_not_put_right_by_a_reboot(cloud: Cloud, server: str, volume: str) -> None:
    before = ids(cloud, server, volume)
    sql = "UPDATE volumes SET status = 'available', attach_status = 'detached' WHERE id = :volume"
    cloud.execute("cinder", sql, volume=volume)
    assert [event["result"] for event in cloud.reboot(server)] == ["Success"]
    assert (ids(cloud, server, volume), states(cloud, volume)) == (before, ("available", "detached"))
    refused = cloud.nova("DELETE", f"/servers/{server}/os-volume_attachments/{volume}")
    assert refused.status_code == 400
    assert cloud.reset(volume, status="in-use", attach_status="attached").status_code == 202
    assert (ids(cloud, server, volume), states(cloud, volume)) == (before, ("in-use", "attached"))


def test_a_lost_attachment_takes_the_disk_at_the_next_reboot(cloud: Cloud, server: str, volume: str) -> None:
    cloud.reset(volume, status="available", attach_status="detached")
    assert len(cloud.mappings(server, volume)) == 1
    assert cloud.attachments(volume) == []
    assert cloud.ask_attach(server, volume).status_code == 400
    assert [event["result"] for event in cloud.reboot(server)] == ["Success"]
    assert ids(cloud, server, volume) == ([], [])
    cloud.attach(server, volume)
    assert states(cloud, volume) == ("in-use", "attached")


def test_an_attachment_that_is_undeleted_in_time_keeps_the_disk(cloud: Cloud, server: str, volume: str) -> None:
    before = ids(cloud, server, volume)
    cloud.reset(volume, status="available", attach_status="detached")
    assert cloud.execute("cinder", f"{UNDELETE} WHERE id = :attachment", attachment=before[1][0]) == 1
    assert cloud.reset(volume, status="in-use", attach_status="attached").status_code == 202
    cloud.reboot(server)
    assert (ids(cloud, server, volume), states(cloud, volume)) == (before, ("in-use", "attached"))


def test_a_lost_mapping_takes_the_attachment_at_the_next_reboot(cloud: Cloud, server: str, volume: str) -> None:
    sql = "UPDATE block_device_mapping SET deleted = id WHERE instance_uuid = :server AND volume_id = :volume"
    cloud.execute("nova", sql, server=server, volume=volume)
    assert cloud.devices(server) == [device for device in cloud.devices(server) if device["volumeId"] != volume]
    cloud.reboot(server)
    assert (ids(cloud, server, volume), states(cloud, volume)) == (([], []), ("available", "detached"))


def test_half_a_mapping_is_left_alone(cloud: Cloud, server: str) -> None:
    volume = cloud.make_volume()
    cloud.attach(server, volume)
    kept = cloud.mappings(server, volume)[0]["attachment_id"]
    name = "UPDATE block_device_mapping SET attachment_id = :id WHERE instance_uuid = :server AND volume_id = :volume"
    cloud.execute("nova", name, id=None, server=server, volume=volume)
    cloud.execute("cinder", "UPDATE volume_attachment SET deleted = 1 WHERE id = :id", id=kept)
    seen = cloud.server(server)["os-extended-volumes:volumes_attached"]
    assert volume in [one["id"] for one in seen]
    named = {device["volumeId"]: device["attachment_id"] for device in cloud.devices(server)}
    assert named.get(volume, "passed by") == (None if cloud.release == "2025.1" else "passed by")
    cloud.reboot(server)
    assert len(cloud.mappings(server, volume)) == 1
    drop = "UPDATE block_device_mapping SET deleted = id WHERE instance_uuid = :server AND volume_id = :volume"
    cloud.execute("nova", drop, server=server, volume=volume)
