"""nova's rows: how servers, block devices and actions are found and changed."""

import json
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp
from stackmend.lab.simulated.web import ApiError, Call

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


def instance(call: Call, server: str | None = None) -> Row:
    """The server the path names, when the caller may see it; 404 otherwise."""
    wanted = server or call.params["server"]
    row = find(call.cloud, wanted)
    if row is None or not (call.caller.admin or row["project_id"] == call.caller.project_id):
        raise ApiError(404, f"Instance {wanted} could not be found.")
    return row


def find(cloud: "Cloud", server: str) -> Row | None:
    """The row of a server that is not deleted."""
    return cloud.nova.one("SELECT * FROM instances WHERE uuid = ? AND deleted = 0", server)


def change(cloud: "Cloud", server: str, **columns: Any) -> None:
    """Set columns of a server; ``updated_at`` goes along, as nova's save does it."""
    cloud.nova.update("instances", {"uuid": server}, updated_at=stamp(), **columns)


def devices(cloud: "Cloud", server: str) -> list[Row]:
    """The block device mappings of a server that hold a volume."""
    return cloud.nova.all(
        "SELECT * FROM block_device_mapping WHERE instance_uuid = ? AND deleted = 0 AND volume_id IS NOT NULL"
        " ORDER BY id",
        server,
    )


def drop_device(cloud: "Cloud", device: Row) -> None:
    """Delete a mapping as nova does: the row stays, ``deleted`` holds its id."""
    cloud.nova.update("block_device_mapping", {"id": device["id"]}, deleted=device["id"], deleted_at=stamp())


def add_device(cloud: "Cloud", server: str, volume: str, size: int, device_name: str, **columns: Any) -> None:
    """A mapping of a volume to a server; columns the schema is too old for are left out."""
    modern = {"uuid": new_id(), "encrypted": False}
    values: dict[str, Any] = {
        "created_at": stamp(),
        "updated_at": stamp(),
        "device_name": device_name,
        "volume_id": volume,
        "volume_size": size,
        "instance_uuid": server,
        "deleted": 0,
        "source_type": "volume",
        "destination_type": "volume",
        "no_device": None,
        "connection_info": connection_info(volume, server),
        **modern,
        **columns,
    }
    if cloud.legacy:
        values = {k: v for k, v in values.items() if k not in ("uuid", "encrypted", "tag", "attachment_id")}
    cloud.nova.insert("block_device_mapping", **values)


def add_image_disk(cloud: "Cloud", server: str, device_name: str, image: str) -> None:
    """The mapping of a local root disk made from an image."""
    cloud.nova.insert(
        "block_device_mapping",
        created_at=stamp(),
        device_name=device_name,
        delete_on_termination=True,
        instance_uuid=server,
        deleted=0,
        source_type="image",
        destination_type="local",
        image_id=image,
        boot_index=0,
    )


def connection_info(volume: str, server: str) -> str:
    """What nova keeps to plug a volume again."""
    data = {"access_mode": "rw", "qos_specs": None, "encrypted": False, "cacheable": False, "enforce_multipath": False}
    return json.dumps(
        {
            "driver_volume_type": "iscsi",
            "data": data,
            "status": "reserved",
            "instance": server,
            "attached_at": "",
            "detached_at": "",
            "volume_id": volume,
            "serial": volume,
        }
    )


def metadata(cloud: "Cloud", servers: list[str]) -> dict[str, dict[str, str]]:
    """The metadata of each of these servers."""
    found: dict[str, dict[str, str]] = {server: {} for server in servers}
    rows = cloud.nova.all(
        "SELECT instance_uuid, key, value FROM instance_metadata WHERE deleted = 0"
        " AND instance_uuid IN (SELECT value FROM json_each(?))",
        json.dumps(servers),
    )
    for row in rows:
        found[row["instance_uuid"]][row["key"]] = row["value"]
    return found


def set_metadata(cloud: "Cloud", server: str, key: str, value: str) -> None:
    """Set one metadata item."""
    changed = cloud.nova.write(
        "UPDATE instance_metadata SET value = ?, updated_at = ? WHERE instance_uuid = ? AND key = ? AND deleted = 0",
        value,
        stamp(),
        server,
        key,
    )
    if not changed:
        cloud.nova.insert(
            "instance_metadata", created_at=stamp(), key=key, value=value, instance_uuid=server, deleted=0
        )


def drop_metadata(cloud: "Cloud", server: str, key: str) -> int:
    """Delete one metadata item; how many there were."""
    return cloud.nova.write(
        "UPDATE instance_metadata SET deleted = id, deleted_at = ? WHERE instance_uuid = ? AND key = ? AND deleted = 0",
        stamp(),
        server,
        key,
    )
