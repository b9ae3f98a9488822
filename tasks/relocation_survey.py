"""What a move by the databases must know of servers, of the host they leave and of the one they go to. It reads only.

Beside the capture (tasks/survey.py), which says what hangs where.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.database import Database
from stackmend.errors import BadInput
from stackmend.tasks.connections import CREATE_VERSIONS
from stackmend.tasks.effects import Databases

Row = dict[str, Any]
_READERS = 16
_NODE = ["id", "uuid", "host", "hypervisor_hostname", "host_ip"]
_INSTANCE = ["id", "uuid", "host", "node", "launched_on", "availability_zone", "instance_type_id"]
_OWNER = ["user_id", "project_id"]
_ENDED = frozenset(["completed", "done", "failed", "error", "cancelled", "reverted", "confirmed", "finished"])
# Columns of nova.instance_extra that are filled only for what can't be moved to just any host.
_EXTRA = {"numa_topology": "a NUMA topology or pinned CPUs", "vpmems": "persistent memory", "resources": "host devices"}


def check_target(computes: Mapping[str, Any], source: str, target: str) -> None:
    """Raises BadInput for a target that can't take servers now. ``computes``: nova's services, by host."""
    if target not in computes or target == source:
        raise BadInput(f"servers of {source} can't go to {target}: name another compute host that nova knows")
    found = computes[target]
    if found["state"] != "up" or found["status"] != "enabled":
        raise BadInput(
            f"servers of {source} can't go to {target}: its nova-compute is {found['state']} and {found['status']}"
        )


def capture(
    cloud: Cloud, databases: Databases, servers: Iterable[Row], hosts: tuple[str, str], connector_file: str
) -> Row:
    """Everything by server id, and both hosts' compute nodes. ``hosts``: the one they leave, and the target.

    Raises BadInput when nova's database is missing, or is another cell's.
    """
    nova, source, target = _nova(databases), *hosts
    servers = list(servers)
    ids = [server["id"] for server in servers]
    with ThreadPoolExecutor(_READERS) as pool:
        held = dict(zip(ids, pool.map(lambda server: _allocation(cloud, server), ids), strict=True))
        ports = [port["id"] for server in servers for port in server["ports"]]
        bindings = dict(zip(ports, pool.map(lambda port: reads.port_bindings(cloud, port), ports), strict=True))
    return {
        "nodes": {"source": _node(nova, source), "target": _node(nova, target)},
        "compute_id": nova.has("instances", "compute_id"),
        "migration_columns": list(nova.schema["migrations"]),
        "instances": _instances(nova, ids),
        "allocations": held,
        "inactive": {
            port: [row["host"] for row in rows or () if row["status"] != "ACTIVE"] for port, rows in bindings.items()
        },
        "picky": _picky(nova, ids),
        "attachments": _attachments(cloud, servers),
        "moving": _moving(cloud, source),
        "on_target": [row["uuid"] for row in nova.rows("instances", {"host": target, "deleted": 0}, ["uuid"])],
        "attachment_version": cloud.pick("block-storage", *CREATE_VERSIONS),
        "agents": [row["binary"] for row in reads.network_agents(cloud) if row["host"] == target and row["alive"]],
        **_connector(databases, servers, target, connector_file),
    }


def _nova(databases: Databases) -> Database:
    if "nova" not in databases:
        raise BadInput("this moves servers in nova's database: say where it is (--sql nova=URL or nova.conf)")
    nova = databases["nova"]
    if not nova.has("block_device_mapping", "attachment_id"):
        raise BadInput("this nova's mappings name no attachments: it is too old to have its volumes moved this way")
    return nova


def _node(nova: Database, host: str) -> Row:
    rows = nova.rows("compute_nodes", {"host": host, "deleted": 0}, _NODE)
    if len(rows) != 1:
        raise BadInput(
            f"the nova database that was given has {len(rows)} compute nodes of {host}, not one: give the database "
            "of the cell that both hosts are in (`nova-manage cell_v2 list_hosts`); no server can cross cells"
        )
    return rows[0]


def _instances(nova: Database, servers: list[str]) -> dict[str, Row]:
    columns = [*_INSTANCE, *_OWNER, *(["compute_id"] if nova.has("instances", "compute_id") else [])]
    return {row["uuid"]: row for row in nova.rows("instances", {"uuid": servers, "deleted": 0}, columns)}


def _allocation(cloud: Cloud, server: str) -> Row:
    found = reads.allocations(cloud, server)
    return {
        "resources": {provider: row["resources"] for provider, row in found["allocations"].items()},
        "project": found.get("project_id"),
        "user": found.get("user_id"),
        "generation": found.get("consumer_generation"),
    }


def _picky(nova: Database, servers: list[str]) -> dict[str, list[str]]:
    """What of a server is bound to the host that it is on."""
    found: dict[str, list[str]] = {}
    if nova.has("pci_devices", "instance_uuid"):
        for row in nova.rows("pci_devices", {"instance_uuid": servers, "deleted": 0}, ["instance_uuid", "address"]):
            found.setdefault(row["instance_uuid"], []).append(f"PCI device {row['address']}")
    columns = [name for name in _EXTRA if nova.has("instance_extra", name)]
    if columns:
        for row in nova.rows("instance_extra", {"instance_uuid": servers, "deleted": 0}, ["instance_uuid", *columns]):
            found.setdefault(row["instance_uuid"], []).extend(_EXTRA[name] for name in columns if row[name])
    return {server: things for server, things in found.items() if things}


def _attachments(cloud: Cloud, servers: list[Row]) -> dict[str, list[str]]:
    """Cinder's attachments of each server, those that are only reserved too."""
    if not any(server["disks"] for server in servers):
        return {}
    found: dict[str, list[str]] = {}
    for row in reads.attachments(cloud):
        found.setdefault(row["instance"], []).append(row["id"])
    return {server["id"]: found.get(server["id"], []) for server in servers}


def _moving(cloud: Cloud, source: str) -> dict[str, str]:
    """The servers that another operation is moving off the host, and its state."""
    rows = reads.migrations(cloud, source_compute=source)
    return {
        row["instance_uuid"]: f"{row['migration_type']} {row['status']}" for row in rows if row["status"] not in _ENDED
    }


def _connector(databases: Databases, servers: list[Row], target: str, file: str) -> Row:
    """How volumes are connected on the target: as the file says, or as another of its attachments has it."""
    if file:
        return {"connector": _from_file(file, target), "connector_from": file}
    if not any(server["disks"] for server in servers):
        return {"connector": None, "connector_from": "no volume needs it"}
    if "cinder" not in databases:
        raise BadInput(
            f"volumes are to be attached on {target}, and nothing says how it connects: give cinder's database (--sql "
            "cinder=URL or cinder.conf), or --connector FILE with what `nova-manage volume_attachment get_connector` "
            "prints there"
        )
    return {"connector": _from_row(databases["cinder"], target), "connector_from": "cinder's attachments there"}


def _from_file(file: str, target: str) -> Row:
    try:
        found = json.loads(pathlib.Path(file).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"the connector file {file} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BadInput(f"the connector file {file} is not JSON") from None
    if not isinstance(found, dict) or found.get("host") != target:
        raise BadInput(
            f"the connector in {file} is not {target}'s: its host must be {target}; make it there with "
            "`nova-manage volume_attachment get_connector`"
        )
    return _bare(found)


def _from_row(cinder: Database, target: str) -> Row | None:
    where = {"attached_host": target, "deleted": 0, "attach_status": "attached"}
    rows = cinder.rows("volume_attachment", where, ["connector", "updated_at"])
    for row in sorted(rows, key=lambda row: row["updated_at"] or "", reverse=True):
        try:
            found = json.loads(row["connector"] or "null")
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("host") == target:
            return _bare(found)
    return None


def _bare(connector: Row) -> Row:
    """Without what belongs to one attachment."""
    return {name: value for name, value in connector.items() if name not in ("mountpoint", "mode")}
