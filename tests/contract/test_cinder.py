"""os-reset_status, root volumes, volumes of several servers, and cinder's lists."""

import pytest
from contract.cloud import Cloud
from contract.test_disks import UNDELETE, ids, states
from waiting import until


@pytest.fixture(scope="module")
def servers(cloud: Cloud) -> dict[str, str]:
    """Two servers with one volume, one of them with its root on a volume."""
    root, shared = cloud.make_volume(bootable=True), cloud.make_volume()
    cloud.execute("cinder", "UPDATE volumes SET multiattach = 1 WHERE id = :volume", volume=shared)
    first, second = cloud.ask_boot(cloud.hosts[0], root=root), cloud.ask_boot(cloud.hosts[1])
    for server in (first, second):
        cloud.settled(server)
        cloud.attach(server, shared)
    return {"first": first, "second": second, "root": root, "shared": shared}


def test_status_alone_changes_the_status_alone(cloud: Cloud, servers: dict[str, str]) -> None:
    before = ids(cloud, servers["second"], servers["shared"])
    assert cloud.reset(servers["shared"], status="error").status_code == 202
    assert states(cloud, servers["shared"]) == ("error", "attached")
    assert cloud.reset(servers["shared"], status="in-use").status_code == 202
    assert states(cloud, servers["shared"]) == ("in-use", "attached")
    assert ids(cloud, servers["second"], servers["shared"]) == before


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"status": "deleting"}, "Cannot reset-state to deleting"),
        ({"status": "in-use", "attach_status": "attached"}, "does not have any attachments"),
        ({"status": "nonsense"}, "nonsense"),
        ({"attach_status": "nonsense"}, "nonsense"),
        ({}, ""),
    ],
)
def test_resets_that_are_refused(cloud: Cloud, free: str, wanted: dict[str, str], words: str) -> None:
    answer = cloud.reset(free, **wanted)
    assert answer.status_code == 400
    assert words in answer.json()["badRequest"]["message"]
    assert states(cloud, free) == ("available", "detached")


@pytest.fixture(scope="module")
def free(cloud: Cloud) -> str:
    """A volume that nobody uses."""
    return cloud.make_volume()


def test_attached_alone_is_taken_whatever_there_is(cloud: Cloud, free: str) -> None:
    assert cloud.reset(free, attach_status="attached").status_code == 202
    assert states(cloud, free) == ("available", "attached")
    assert cloud.reset(free, status="available", attach_status="detached").status_code == 202


def test_a_server_from_a_volume_has_no_image(cloud: Cloud, servers: dict[str, str]) -> None:
    view = cloud.server(servers["first"])
    assert view["image"] == ""
    (row,) = cloud.mappings(servers["first"], servers["root"])
    assert (row["boot_index"], row["device_name"]) == (0, view["OS-EXT-SRV-ATTR:root_device_name"])
    assert cloud.volume(servers["root"])["bootable"] == "true"
    refused = cloud.nova("DELETE", f"/servers/{servers['first']}/os-volume_attachments/{servers['root']}")
    assert (refused.status_code, refused.json()["badRequest"]["message"]) == (400, "Cannot detach a root device volume")


def test_a_root_disk_that_was_dropped_does_not_come_back_as_a_root(cloud: Cloud, servers: dict[str, str]) -> None:
    server, root = servers["first"], servers["root"]
    kept = ids(cloud, server, root)[1][0]
    cloud.reset(root, status="available", attach_status="detached")
    assert [event["result"] for event in cloud.reboot(server)] == ["Success"]
    view = cloud.server(server)
    assert root not in [one["id"] for one in view["os-extended-volumes:volumes_attached"]]
    device = view["OS-EXT-SRV-ATTR:root_device_name"]
    assert cloud.ask_attach(server, root, device=device).status_code == 409
    back = (
        "UPDATE block_device_mapping SET deleted = 0, deleted_at = NULL WHERE attachment_id = :kept AND boot_index = 0"
    )
    assert cloud.execute("nova", back, kept=kept) == 1
    assert cloud.execute("cinder", f"{UNDELETE} WHERE id = :kept", kept=kept) == 1
    assert cloud.reset(root, status="in-use", attach_status="attached").status_code == 202
    cloud.reboot(server)
    assert ids(cloud, server, root) == ([kept], [kept])


def test_two_servers_have_an_attachment_each(cloud: Cloud, servers: dict[str, str]) -> None:
    rows = cloud.attachments(servers["shared"])
    assert {row["instance_uuid"] for row in rows} == {servers["first"], servers["second"]}
    assert {row["attached_host"] for row in rows} == set(cloud.hosts[:2])


def test_of_a_shared_volume_a_reboot_drops_one_side_only(cloud: Cloud, servers: dict[str, str]) -> None:
    first, second, shared = servers["first"], servers["second"], servers["shared"]
    lost = cloud.mappings(first, shared)[0]["attachment_id"]
    gone = "UPDATE volume_attachment SET deleted = 1, attach_status = 'detached' WHERE id = :lost"
    cloud.execute("cinder", gone, lost=lost)
    cloud.reboot(first)
    assert cloud.mappings(first, shared) == []
    assert len(cloud.mappings(second, shared)) == len(cloud.attachments(shared)) == 1
    cloud.attach(first, shared)
    assert len(cloud.attachments(shared)) == 2


def test_detached_drops_the_attachments_of_all_servers(cloud: Cloud, servers: dict[str, str]) -> None:
    shared = servers["shared"]
    kept = {row["id"] for row in cloud.attachments(shared)}
    # The status that was asked for is not the one it ends in.
    assert cloud.reset(shared, status="error", attach_status="detached").status_code == 202
    assert (cloud.attachments(shared), states(cloud, shared)) == ([], ("available", "detached"))
    for attachment in kept:
        cloud.execute("cinder", f"{UNDELETE} WHERE id = :attachment", attachment=attachment)
    assert cloud.reset(shared, status="in-use", attach_status="attached").status_code == 202
    assert {row["id"] for row in cloud.attachments(shared)} == kept


def test_lists_tell_a_member_only_of_its_own(cloud: Cloud, free: str) -> None:
    for path in ("/volumes/detail", "/attachments/detail"):
        answer = cloud.cinder("GET", f"{path}?all_tenants=1", member=True)
        assert answer.status_code == 200
        assert free not in answer.text
    assert cloud.cinder("GET", f"/volumes/{free}", member=True).status_code == 404
    body = {"os-reset_status": {"status": "error"}}
    assert cloud.cinder("POST", f"/volumes/{free}/action", body, member=True).status_code == 404


def test_attachments_have_host_and_device_at_their_volume_only(cloud: Cloud, servers: dict[str, str]) -> None:
    path = f"/attachments/detail?all_tenants=1&volume_id={servers['root']}"
    (listed,) = cloud.cinder("GET", path).json()["attachments"]
    assert not {"host", "host_name", "device", "attached_host"} & set(listed)
    assert (listed["status"], listed["instance"], listed["detached_at"]) == ("attached", servers["first"], "")
    (seen,) = cloud.volume(servers["root"])["attachments"]
    assert (seen["id"], seen["attachment_id"]) == (servers["root"], listed["id"])


def test_volumes_by_time_of_change(cloud: Cloud, free: str) -> None:
    found = cloud.cinder("GET", "/volumes?all_tenants=1&updated_at=gte:2020-01-01T00:00:00").json()["volumes"]
    assert free in [volume["id"] for volume in found]
    assert cloud.cinder("GET", "/volumes?all_tenants=1&updated_at=gt:2100-01-01T00:00:00").json()["volumes"] == []
    # It is no filter of attachments, and they do not say so.
    nothing = cloud.cinder("GET", "/attachments?all_tenants=1&updated_at=gt:2020-01-01T00:00:00")
    assert (nothing.status_code, nothing.json()["attachments"]) == (200, [])


def test_a_deleted_server_takes_what_it_was_told_to_take(cloud: Cloud) -> None:
    kept, taken = cloud.make_volume(), cloud.make_volume()
    server = cloud.boot(cloud.hosts[0])
    cloud.attach(server, kept)
    cloud.attach(server, taken, delete_on_termination=True)
    assert cloud.nova("DELETE", f"/servers/{server}").status_code == 204
    until(lambda: cloud.nova("GET", f"/servers/{server}").status_code == 404, "the server is gone")
    until(lambda: cloud.cinder("GET", f"/volumes/{taken}").status_code == 404, "its volume is gone")
    until(lambda: states(cloud, kept) == ("available", "detached"), "the other volume is there")
