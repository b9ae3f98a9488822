"""The schema of before 2015: attachments are columns of cinder.volumes."""

from typing import TYPE_CHECKING

from waiting import until

if TYPE_CHECKING:
    from conftest import Bench


def columns(bench: "Bench", database: str, table: str) -> set[str]:
    """The columns of a table."""
    return {row["name"] for row in bench.rows(database, f"PRAGMA table_info({table})")}


def test_it_has_the_old_columns_only(old: "Bench") -> None:
    assert {"instance_uuid", "mountpoint", "attached_host", "attach_time"} <= columns(old, "cinder", "volumes")
    assert columns(old, "cinder", "volume_attachment") == set()
    assert not {"attachment_id", "uuid", "tag"} & columns(old, "nova", "block_device_mapping")


def test_attachments_come_from_the_volume_itself(old: "Bench") -> None:
    attachment = old.volume("db-data")["attachments"][0]
    assert (attachment["server_id"], attachment["device"]) == (old.servers["db-1"], "/dev/vdb")
    assert "attachment_id" not in attachment


def test_the_guides_statements_free_the_volumes(old: "Bench") -> None:
    for change in ("mountpoint=NULL", "attach_status='detached'", "instance_id=0"):
        old.execute("cinder", f"UPDATE volumes SET {change}")
    old.execute("cinder", "UPDATE volumes SET status='available' WHERE status <> 'error_deleting'")
    volume = old.volume("db-data")
    assert (volume["status"], volume["attachments"]) == ("available", [])


def test_hard_reboot_keeps_the_mapping_and_reattaching_needs_it_gone(old: "Bench") -> None:
    old.execute("cinder", "UPDATE volumes SET status='available', attach_status='detached', instance_uuid=NULL")
    old.reboot("db-1")
    old.settled("db-1")
    assert len(old.devices("db-1")) == 2
    body = {"volumeAttachment": {"volumeId": old.volumes["db-data"], "device": "/dev/vdb"}}
    path = f"/servers/{old.servers['db-1']}/os-volume_attachments"
    assert old.compute("POST", path, json=body).status_code == 400
    old.execute("nova", "UPDATE block_device_mapping SET deleted=id WHERE volume_id=?", old.volumes["db-data"])
    assert old.compute("POST", path, json=body).status_code == 200
    until(lambda: old.volume("db-data")["status"] == "in-use", "db-data is attached")
    assert old.volume("db-data")["attachments"][0]["device"] == "/dev/vdb"
