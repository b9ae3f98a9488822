"""What nova and cinder record of every disk of a server, read before anything changes. It reads only."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.tasks.effects import Databases

Row = dict[str, Any]
READERS = 16
_OF_VOLUMES = ("id", "status", "multiattach", "encrypted", "attachments", "volume_image_metadata")
_BDM_COLUMNS = ["id", "instance_uuid", "volume_id", "device_name", "boot_index", "delete_on_termination"]
_BDM_MODERN = ["attachment_id", "uuid", "tag"]
_LEGACY_COLUMNS = ["mountpoint", "status", "attach_status", "instance_uuid", "instance_id"]


def volumes(cloud: Cloud) -> dict[str, Row]:
    """Cinder's volumes by id, with what is read of them here: there may be tens of thousands."""
    return {row["id"]: row for row in (reads.lean(row, _OF_VOLUMES) for row in reads.volumes(cloud))}


def attachments(cloud: Cloud, databases: Databases, wanted: bool) -> dict[str, Row]:
    """The mode of cinder's attachments, and a digest of how each connects, by id; where wanted and cinder has such."""
    if not wanted or is_legacy(databases):
        return {}
    return {row["id"]: _mode(row) for row in reads.attachments(cloud)}


def _mode(row: Row) -> Row:
    info = row.get("connection_info")
    digest = hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest() if info else None
    return {"mode": row.get("attach_mode"), "connection_digest": digest}


def attached(found: Mapping[str, Row]) -> dict[str, dict[str, Row]]:
    """Cinder's word for what hangs where: the volumes of each server, by its id, with the attachment of each."""
    by_server: dict[str, dict[str, Row]] = {}
    for volume in found.values():
        for item in volume["attachments"]:
            by_server.setdefault(item["server_id"], {})[volume["id"]] = item
    return by_server


def listed(servers: list[Row]) -> dict[str, list[Row]]:
    """What nova's list of servers shows of each one's volumes: which, and whether they go with it."""
    return {
        row["id"]: [{**item, "volume_id": item["id"]} for item in row.get("os-extended-volumes:volumes_attached") or []]
        for row in servers
    }


class Rows:
    """What only the databases tell; empty answers where they may not be read."""

    def __init__(self, databases: Databases, servers: list[Row], volumes: Mapping[str, Row]) -> None:
        self._databases = databases
        self._servers = [row["id"] for row in servers]
        self._volumes: dict[str, Row] = {}
        self._deleted: set[str] = set()
        if "cinder" in databases:
            cinder = databases["cinder"]
            wanted = [name for name in _LEGACY_COLUMNS if cinder.has("volumes", name)]
            self._volumes = {row["id"]: row for row in cinder.rows("volumes", {"id": list(volumes)}, ["id", *wanted])}
            if not is_legacy(databases):
                gone = cinder.rows("volume_attachment", {"instance_uuid": self._servers, "deleted": 1}, ["id"])
                self._deleted = {row["id"] for row in gone}

    def attach_status(self, volume: str) -> str | None:
        """The volume row's own summary, which no API shows."""
        return self._volumes.get(volume, {}).get("attach_status")

    def restorable(self, attachment: str | None) -> bool:
        """Whether cinder still has the row of an attachment that it counts as deleted."""
        return attachment in self._deleted

    def legacy_row(self, volume: str) -> Row | None:
        """The row's attachment columns, on a schema that has them."""
        if not is_legacy(self._databases):
            return None
        row = self._volumes.get(volume)
        return {name: value for name, value in row.items() if name != "id"} if row else None

    def block_devices(self) -> dict[str, list[Row]] | None:
        """Nova's block devices by server, in one query; None without nova's database."""
        if "nova" not in self._databases:
            return None
        nova = self._databases["nova"]
        columns = _BDM_COLUMNS + [name for name in _BDM_MODERN if nova.has("block_device_mapping", name)]
        rows = nova.rows("block_device_mapping", {"instance_uuid": self._servers, "deleted": 0}, columns)
        found = [
            {**row, "device": row["device_name"], "bdm_id": row["id"], "bdm_uuid": row.get("uuid")}
            for row in rows
            if row["volume_id"]
        ]
        return by(found, "instance_uuid")


def block_devices(cloud: Cloud, servers: list[Row], rows: Rows) -> dict[str, list[Row]]:
    """Nova's block devices by server: from its database, else one call for each server that has volumes."""
    known = rows.block_devices()
    if known is not None:
        return {row["id"]: known.get(row["id"], []) for row in servers}
    with_volumes = [row["id"] for row in servers if row.get("os-extended-volumes:volumes_attached")]
    with ThreadPoolExecutor(READERS) as pool:
        found = dict(
            zip(
                with_volumes,
                pool.map(lambda server: reads.server_attachments(cloud, server), with_volumes),
                strict=True,
            )
        )
    return {
        row["id"]: [{**item, "volume_id": item["volumeId"]} for item in found.get(row["id"], [])] for row in servers
    }


def is_legacy(databases: Databases) -> bool:
    """Whether cinder's schema is the one from before volume_attachment."""
    return "cinder" in databases and databases["cinder"].has("volumes", "mountpoint")


def by(rows: Any, column: str) -> dict[str, list[Row]]:
    """The rows by what stands in a column."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found
