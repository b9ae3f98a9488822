"""The capture: what hangs where, read before anything changes. It reads only.

Nova's side (block devices) and cinder's side (attachments) are recorded apart, because after a power loss
they may disagree. The databases, where they may be read, say more than the APIs: a volume's attach status,
the boot index, attachments that were deleted.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.engine import clock
from stackmend.errors import BadInput
from stackmend.tasks import disk_survey, images
from stackmend.tasks.effects import Databases
from stackmend.tasks.scope import Scope, resolved
from stackmend.tasks.servers import state_of

Row = dict[str, Any]
FORMAT = 1
OURS = "stackmend:"
# What is read of rows here.
_OF_SERVERS = (
    *("id", "name", "tenant_id", "status", "updated", "locked", "metadata", "image", "flavor", "addresses"),
    *("OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "OS-EXT-STS:power_state", "OS-EXT-SRV-ATTR:host"),
    *("OS-EXT-SRV-ATTR:instance_name", "OS-EXT-SRV-ATTR:root_device_name", "os-extended-volumes:volumes_attached"),
)
_OF_PORTS = ("id", "device_id", "status", "binding:host_id", "binding:vif_type", "binding:vnic_type", "fixed_ips")
# Instance actions after which a server runs, or does not.
_POWER = frozenset(["create", "start", "stop", "reboot", "rebuild", "evacuate", "unshelve", "resume"])


def capture(
    cloud: Cloud,
    databases: Databases,
    scope: Scope,
    labels: Collection[str] = (),
    may_be_empty: bool = False,
    mappings: bool = True,
) -> dict[str, Any]:
    """Record every server in scope with its disks, ports and states.

    Of a server's own metadata only what is ours and the ``labels`` are kept: users put passwords there.
    ``mappings``: with nova's and cinder's own records of each attachment (boot index, tag, mode), which without nova's
    database cost a call for each server; else only which volume hangs where.
    Raises BadInput for a server, host or project that does not exist, and for an empty capture unless it may be.
    """
    whole_host = scope.hosts[0] if len(scope.hosts) == 1 and not scope.servers + scope.exclude else None
    found = [reads.lean(row, _OF_SERVERS) for row in reads.servers(cloud, host=whole_host)]
    scope = resolved(cloud, scope, found)
    chosen = [row for row in found if scope.covers(row)]
    if not chosen and not may_be_empty:
        raise BadInput(
            f"the capture is empty: none of the cloud's {len(found)} servers is in scope; "
            "is this the right cloud, with an administrator's rights?"
        )
    return {
        "format": FORMAT,
        "taken_at": clock.now(),
        "scope": asdict(scope),
        "source": "api and sql" if databases else "api",
        "databases": sorted(databases),
        "legacy": disk_survey.is_legacy(databases),
        "groups": [_group(row) for row in reads.server_groups(cloud)],
        "servers": _entries(cloud, databases, chosen, labels, mappings),
    }


def _entries(
    cloud: Cloud, databases: Databases, chosen: list[Row], labels: Collection[str], mappings: bool
) -> list[Row]:
    ids = [row["id"] for row in chosen]
    with ThreadPoolExecutor(disk_survey.READERS) as pool:
        by_server = pool.submit(_ports, cloud, ids)
        at_cinder = pool.submit(disk_survey.attachments, cloud, databases, mappings)
        volumes = disk_survey.volumes(cloud)
        modes, ports = at_cinder.result(), by_server.result()
    rows = disk_survey.Rows(databases, chosen, volumes)
    listed = disk_survey.block_devices(cloud, chosen, rows) if mappings else disk_survey.listed(chosen)
    stopped_by = _stopped_by(cloud, chosen)
    pictures = images.at_glance(cloud, chosen)
    attached = disk_survey.attached(volumes)
    entries = [
        _server(row, listed[row["id"]], attached.get(row["id"], {}), ports.get(row["id"], []), volumes, modes, rows)
        for row in chosen
    ]
    return [
        {
            **entry,
            "image_properties": images.properties(row, entry["disks"], volumes, pictures),
            "labels": {name: value for name, value in row["metadata"].items() if name in labels},
            "stopped_by": stopped_by.get(row["id"]),
        }
        for row, entry in zip(chosen, entries, strict=True)
    ]


def _ports(cloud: Cloud, servers: list[str]) -> dict[str, list[Row]]:
    """The ports of each server, by its id."""
    found = (reads.lean(row, _OF_PORTS) for row in reads.ports_of(cloud, servers, "device_id"))
    return disk_survey.by(found, "device_id")


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
    at_cinder: Mapping[str, Row],
    ports: list[Row],
    volumes: Mapping[str, Row],
    modes: Mapping[str, Row],
    rows: disk_survey.Rows,
) -> Row:
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
    rows: disk_survey.Rows,
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
        "mode": mode.get("mode"),
        "connection_digest": mode.get("connection_digest"),
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


def _stopped_by(cloud: Cloud, servers: list[Row]) -> dict[str, str]:
    """Of the stopped servers: who stopped each one, ``user`` or ``nova``, where its actions tell.

    A compute that comes back and finds a guest shut down stops the server by itself, without a user: it ran.
    """
    stopped = [row["id"] for row in servers if row.get("OS-EXT-STS:vm_state") == "stopped"]
    with ThreadPoolExecutor(disk_survey.READERS) as pool:
        found = zip(stopped, pool.map(lambda server: reads.server_actions(cloud, server), stopped), strict=True)
        newest = {
            server: next((item for item in actions if item["action"] in _POWER), None) for server, actions in found
        }
    return {
        server: "user" if action["user_id"] else "nova"
        for server, action in newest.items()
        if action is not None and action["action"] == "stop"
    }
