"""The capture: what hangs where, read before anything changes. It reads only.

Nova's side (block devices) and cinder's side (attachments) are recorded apart, because after a power loss
they may disagree. The databases, where they may be read, say more than the APIs: a volume's attach status,
the boot index, attachments that were deleted.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.engine import clock
from stackmend.errors import BadInput
from stackmend.tasks import images
from stackmend.tasks.effects import Databases
from stackmend.tasks.scope import Scope, resolved
from stackmend.tasks.servers import state_of

Row = dict[str, Any]
FORMAT = 1
OURS = "stackmend:"
_READERS = 16
# Instance actions after which a server runs, or does not.
_POWER = frozenset(["create", "start", "stop", "reboot", "rebuild", "evacuate", "unshelve", "resume"])
_BDM_COLUMNS = ["id", "instance_uuid", "volume_id", "device_name", "boot_index", "delete_on_termination"]
_BDM_MODERN = ["attachment_id", "uuid", "tag"]
_LEGACY_COLUMNS = ["mountpoint", "status", "attach_status", "instance_uuid", "instance_id"]


def capture(
    cloud: Cloud, databases: Databases, scope: Scope, labels: Collection[str] = (), may_be_empty: bool = False
) -> dict[str, Any]:
    """Record every server in scope with its disks, ports and states.

    Of a server's own metadata only what is ours and the ``labels`` are kept: users put passwords there.
    Raises BadInput for a server, host or project that does not exist, and for an empty capture unless it may be.
    """
    whole_host = scope.hosts[0] if len(scope.hosts) == 1 and not scope.servers + scope.exclude else None
    found = list(reads.servers(cloud, host=whole_host))
    scope = resolved(cloud, scope, found)
    chosen = [row for row in found if scope.covers(row)]
    if not chosen and not may_be_empty:
        raise BadInput(
            f"the capture is empty: none of the cloud's {len(found)} servers is in scope; "
            "is this the right cloud, with an administrator's rights?"
        )
    volumes = {row["id"]: row for row in reads.volumes(cloud)}
    modes = {row["id"]: row for row in reads.attachments(cloud)} if not _is_legacy(databases) else {}
    ports = _by(reads.ports(cloud), "device_id")
    rows = _Rows(databases, chosen, volumes)
    listed = _block_devices(cloud, chosen, rows)
    stopped_by = _stopped_by(cloud, chosen)
    pictures = images.at_glance(cloud, chosen)
    entries = [_server(row, listed[row["id"]], ports.get(row["id"], []), volumes, modes, rows) for row in chosen]
    servers = [
        {
            **entry,
            "image_properties": images.properties(row, entry["disks"], volumes, pictures),
            "labels": {name: value for name, value in row["metadata"].items() if name in labels},
            "stopped_by": stopped_by.get(row["id"]),
        }
        for row, entry in zip(chosen, entries, strict=True)
    ]
    return {
        "format": FORMAT,
        "taken_at": clock.now(),
        "scope": asdict(scope),
        "source": "api and sql" if databases else "api",
        "databases": sorted(databases),
        "legacy": _is_legacy(databases),
        "groups": [_group(row) for row in reads.server_groups(cloud)],
        "servers": servers,
    }


def _group(row: Row) -> Row:
    return {
        "name": row["name"],
        "project": row.get("project_id"),
        "members": row["members"],
        "policy": row.get("policy") or next(iter(row.get("policies") or ()), None),
    }


def _server(
    row: Row,
    devices: list[Row],
    ports: list[Row],
    volumes: Mapping[str, Row],
    modes: Mapping[str, Row],
    rows: "_Rows",
) -> Row:
    at_cinder = {
        volume["id"]: item
        for volume in volumes.values()
        for item in volume["attachments"]
        if item["server_id"] == row["id"]
    }
    at_nova = {device["volume_id"]: device for device in devices}
    disks = [
        _disk(volume, at_nova.get(volume), at_cinder.get(volume), volumes.get(volume), modes, rows, row)
        for volume in sorted(at_nova.keys() | at_cinder.keys())
    ]
    return {
        "id": row["id"],
        "name": row["name"],
        "instance_name": row.get("OS-EXT-SRV-ATTR:instance_name"),
        "project": row["tenant_id"],
        **state_of(row),
        "status": row["status"],
        "locked": bool(row.get("locked")),
        "metadata": {name: value for name, value in row["metadata"].items() if name.startswith(OURS)},
        "image": (row.get("image") or {}).get("id") if row.get("image") else None,
        "root_device": row.get("OS-EXT-SRV-ATTR:root_device_name"),
        "flavor": _flavor(row["flavor"]),
        "addresses": [item["addr"] for items in row["addresses"].values() for item in items],
        "disks": disks,
        "ports": [_port(port) for port in ports],
    }


def _flavor(row: Row) -> Row:
    """The server's own copy of its flavor (2.47); less with an older nova."""
    extra = {name: str(value) for name, value in (row.get("extra_specs") or {}).items()}
    disks = {name: int(row.get(name) or 0) for name in ("ephemeral", "swap")}
    return {"name": row.get("original_name"), "extra_specs": extra, **disks}


def _disk(
    volume: str,
    device: Row | None,
    attachment: Row | None,
    row: Row | None,
    modes: Mapping[str, Row],
    rows: "_Rows",
    server: Row,
) -> Row:
    """One volume on one server, as nova and as cinder know it."""
    device, attachment, row = device or {}, attachment or {}, row or {}
    mode = modes.get(str(attachment.get("attachment_id")), {})
    path = device.get("device") or attachment.get("device")
    root = (
        device["boot_index"] == 0
        if device.get("boot_index") is not None
        else path == server.get("OS-EXT-SRV-ATTR:root_device_name")
    )
    info = mode.get("connection_info")
    return {
        "volume_id": volume,
        "device": path,
        "root": root,
        "boot_index": device.get("boot_index"),
        "tag": device.get("tag"),
        "delete_on_termination": bool(device.get("delete_on_termination")),
        "bdm_id": device.get("bdm_id"),
        "bdm_uuid": device.get("bdm_uuid"),
        "nova_attachment": device.get("attachment_id"),
        "at_nova": bool(device),
        "cinder_attachment": attachment.get("attachment_id"),
        "at_cinder": bool(attachment),
        "attached_host": attachment.get("host_name"),
        "mode": mode.get("attach_mode"),
        "connection_digest": hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest() if info else None,
        "status": row.get("status", "deleted"),
        "attach_status": rows.attach_status(volume),
        "multiattach": bool(row.get("multiattach")),
        "encrypted": bool(row.get("encrypted")),
        "others": [item["server_id"] for item in row.get("attachments", []) if item["server_id"] != server["id"]],
        "restorable": rows.restorable(device.get("attachment_id")),
        "legacy_row": rows.legacy_row(volume),
    }


def _port(row: Row) -> Row:
    return {
        "id": row["id"],
        "status": row["status"],
        "host": row.get("binding:host_id"),
        "vif_type": row.get("binding:vif_type"),
        "vnic_type": row.get("binding:vnic_type") or "normal",
        "addresses": [item["ip_address"] for item in row["fixed_ips"]],
    }


class _Rows:
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
            if not _is_legacy(databases):
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
        if not _is_legacy(self._databases):
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
        return _by(found, "instance_uuid")


def _block_devices(cloud: Cloud, servers: list[Row], rows: _Rows) -> dict[str, list[Row]]:
    """Nova's block devices by server: from its database, else one call for each server that has volumes."""
    known = rows.block_devices()
    if known is not None:
        return {row["id"]: known.get(row["id"], []) for row in servers}
    with_volumes = [row["id"] for row in servers if row.get("os-extended-volumes:volumes_attached")]
    with ThreadPoolExecutor(_READERS) as pool:
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


def _stopped_by(cloud: Cloud, servers: list[Row]) -> dict[str, str]:
    """Of the stopped servers: who stopped each one, ``user`` or ``nova``, where its actions tell.

    A compute that comes back and finds a guest shut down stops the server by itself, without a user: it ran.
    """
    stopped = [row["id"] for row in servers if row.get("OS-EXT-STS:vm_state") == "stopped"]
    with ThreadPoolExecutor(_READERS) as pool:
        found = zip(stopped, pool.map(lambda server: reads.server_actions(cloud, server), stopped), strict=True)
        newest = {
            server: next((item for item in actions if item["action"] in _POWER), None) for server, actions in found
        }
    return {
        server: "user" if action["user_id"] else "nova"
        for server, action in newest.items()
        if action is not None and action["action"] == "stop"
    }


def _is_legacy(databases: Databases) -> bool:
    return "cinder" in databases and databases["cinder"].has("volumes", "mountpoint")


def _by(rows: Any, column: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found
