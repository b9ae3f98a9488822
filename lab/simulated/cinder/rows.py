"""cinder's rows: volumes, and attachments in whichever tables the schema keeps them."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_LEGACY = (
    "SELECT id, id AS volume_id, instance_uuid, attached_host, mountpoint, attach_time, NULL AS detach_time,"
    " 'rw' AS attach_mode, attach_status, NULL AS connection_info, NULL AS connector, 0 AS"
    " deleted, project_id"
    " FROM volumes WHERE deleted = 0 AND instance_uuid IS NOT NULL AND coalesce(instance_id, 1) != 0"
)
_MODERN = "SELECT a.*, v.project_id FROM volume_attachment a JOIN volumes v ON v.id = a.volume_id WHERE a.deleted = 0"


def volume(cloud: "Cloud", volume_id: str) -> Row | None:
    """The row of a volume that is not deleted."""
    return cloud.cinder.one("SELECT * FROM volumes WHERE id = ? AND deleted = 0", volume_id)


def change(cloud: "Cloud", volume_id: str, **columns: Any) -> None:
    """Set columns of a volume, and its ``updated_at``."""
    cloud.cinder.update("volumes", {"id": volume_id}, updated_at=stamp(), **columns)


def delete(cloud: "Cloud", volume_id: str) -> None:
    """Delete a volume: its row stays, marked."""
    change(cloud, volume_id, status="deleted", deleted=True, deleted_at=stamp())


def image_metadata(cloud: "Cloud", volumes: list[str]) -> dict[str, dict[str, str]]:
    """By volume, the properties of the image that it was made from, of those that have any."""
    found: dict[str, dict[str, str]] = {}
    for row in cloud.cinder.all(
        "SELECT volume_id, key, value FROM volume_glance_metadata WHERE deleted = 0"
        " AND volume_id IN (SELECT value FROM json_each(?))",
        json.dumps(volumes),
    ):
        found.setdefault(row["volume_id"], {})[row["key"]] = row["value"]
    return found


def set_image_metadata(cloud: "Cloud", volume_id: str, properties: Mapping[str, str]) -> None:
    """Set some of them; the others stay."""
    for name, value in properties.items():
        cloud.cinder.write("DELETE FROM volume_glance_metadata WHERE volume_id = ? AND key = ?", volume_id, name)
        values = {"volume_id": volume_id, "key": name, "value": value}
        cloud.cinder.insert("volume_glance_metadata", created_at=stamp(), deleted=False, **values)


def attachments(cloud: "Cloud", *, volumes: list[str] | None = None, server: str | None = None) -> list[Row]:
    """The attachments of these volumes, of a server, or (no argument) all; oldest first."""
    sql, values = (_LEGACY, []) if cloud.legacy else (_MODERN, [])
    volume_column = "id" if cloud.legacy else "a.volume_id"
    if volumes is not None:
        sql += f" AND {volume_column} IN (SELECT value FROM json_each(?))"
        values.append(json.dumps(volumes))
    if server is not None:
        sql += " AND instance_uuid = ?"
        values.append(server)
    return cloud.cinder.all(f"{sql} ORDER BY created_at", *values)


def attachment(cloud: "Cloud", attachment_id: str) -> Row | None:
    """One attachment that is not deleted."""
    if cloud.legacy:
        return cloud.cinder.one(f"{_LEGACY} AND id = ?", attachment_id)
    return cloud.cinder.one(f"{_MODERN} AND a.id = ?", attachment_id)


def reserve(cloud: "Cloud", volume_id: str, server: str | None, attachment_id: str | None = None) -> str:
    """Make an attachment that only reserves its volume; its id."""
    if cloud.legacy:
        change(cloud, volume_id, status="attaching")
        return volume_id
    made = attachment_id or new_id()
    cloud.cinder.insert(
        "volume_attachment",
        created_at=stamp(),
        deleted=False,
        id=made,
        volume_id=volume_id,
        instance_uuid=server,
        attach_status="reserved",
        attach_mode="null",
    )
    if attached_count(cloud, volume_id) == 0:
        change(cloud, volume_id, status="reserved")
    return made


def connect(
    cloud: "Cloud",
    attachment_id: str,
    host: str,
    mountpoint: str,
    connector: dict[str, Any] | None = None,
    mode: str = "rw",
) -> None:
    """Give an attachment its connector: the volume is then ``attaching``, even one that is in use already."""
    if cloud.legacy:
        return
    row = attachment(cloud, attachment_id)
    assert row is not None
    cloud.cinder.update(
        "volume_attachment",
        {"id": attachment_id},
        updated_at=stamp(),
        attached_host=host,
        mountpoint=mountpoint,
        attach_mode=mode,
        attach_status="attaching",
        connection_info=_connection_info(cloud, attachment_id),
        connector=json.dumps(
            connector or {"ip": "127.0.0.1", "initiator": "fake", "host": host, "mountpoint": mountpoint}
        ),
    )
    change(cloud, row["volume_id"], status="attaching")


def complete(cloud: "Cloud", attachment_id: str, volume_id: str, server: str, host: str, mountpoint: str) -> None:
    """The volume is attached: attachment and volume say so."""
    if cloud.legacy:
        number = cloud.nova.one("SELECT id FROM instances WHERE uuid = ?", server)
        change(
            cloud,
            volume_id,
            instance_uuid=server,
            instance_id=number["id"] if number else None,
            attached_host=host,
            mountpoint=mountpoint,
            attach_time=stamp(),
        )
    else:
        cloud.cinder.update(
            "volume_attachment",
            {"id": attachment_id},
            updated_at=stamp(),
            attach_status="attached",
            attach_time=stamp(),
        )
    change(cloud, volume_id, status="in-use", attach_status="attached")


def drop(cloud: "Cloud", row: Row) -> None:
    """Delete an attachment; the volume is available again when it was the last one."""
    if cloud.legacy:
        change(cloud, row["volume_id"], instance_uuid=None, instance_id=None, attached_host=None)
        change(cloud, row["volume_id"], mountpoint=None, attach_time=None)
    else:
        now = stamp()
        cloud.cinder.update(
            "volume_attachment",
            {"id": row["id"]},
            deleted=True,
            deleted_at=now,
            updated_at=now,
            detach_time=now,
            attach_status="detached",
        )
    left = attachments(cloud, volumes=[row["volume_id"]])
    if not left:
        change(cloud, row["volume_id"], status="available", attach_status="detached")
    elif any(other["attach_status"] == "attached" for other in left):
        change(cloud, row["volume_id"], status="in-use", attach_status="attached")
    else:
        change(cloud, row["volume_id"], status="reserved", attach_status="detached")


def attached_count(cloud: "Cloud", volume_id: str) -> int:
    """How many attachments of a volume are complete."""
    return sum(row["attach_status"] == "attached" for row in attachments(cloud, volumes=[volume_id]))


def _connection_info(cloud: "Cloud", attachment_id: str) -> str:
    password = cloud.settings.chap_password
    chap = {"auth_method": "CHAP", "auth_username": "nova", "auth_password": password} if password else {}
    return json.dumps(
        {
            **chap,
            "access_mode": "rw",
            "qos_specs": None,
            "encrypted": False,
            "cacheable": False,
            "driver_volume_type": "iscsi",
            "attachment_id": attachment_id,
            "enforce_multipath": False,
        }
    )
