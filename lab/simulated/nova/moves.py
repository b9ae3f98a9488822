"""Moves between hosts: evacuate and live migration."""

import asyncio
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.neutron import rows as neutron
from stackmend.lab.simulated.nova import disks, power, records, rows
from stackmend.lab.simulated.nova.services import compute_service, service_is_up
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp
from stackmend.lab.simulated.web import ApiError, Call, Origin, Reply

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


def evacuate(call: Call, row: Row, given: Any) -> Reply:
    """Rebuild a server of a dead host elsewhere; from 2.95 on it is left stopped."""
    _only_admin(call, "os-evacuate")
    if row["vm_state"] not in ("active", "stopped", "error"):
        raise ApiError(409, f"Cannot 'evacuate' instance {row['uuid']} while it is in vm_state {row['vm_state']}")
    source = compute_service(call.cloud, row["host"])
    if source is not None and service_is_up(call.cloud, source):
        raise ApiError(400, f"Compute service of {row['host']} is still in use.")
    target = _target(call, row, (given or {}).get("host"))
    started = row["vm_state"] != "stopped" and not call.at_least(95)
    cloud, origin, server = call.cloud, call.origin, row["uuid"]
    rows.change(cloud, server, task_state="rebuilding")
    records.begin(cloud, server, "evacuate", origin)
    migration = _migration(call, row, target, "evacuation", "accepted")
    call.effect("server.evacuate", server, source=row["host"], dest=target, migration=migration)
    if target is None:
        _no_host(call, server, migration)
    else:
        cloud.hypervisors.cast(target, lambda: _rebuild(cloud, server, target, migration, started, origin))
    return Reply(200, {"adminPass": "simulated"} if not call.at_least(14) else None)


def _only_admin(call: Call, rule: str) -> None:
    if not call.caller.admin:
        raise ApiError(403, f"Policy doesn't allow os_compute_api:{rule} to be performed.")


def _target(call: Call, row: Row, asked: str | None) -> str | None:
    if asked == row["host"]:
        raise ApiError(400, "The target host can't be the same one.")
    if asked is not None and asked not in call.cloud.hypervisors.names():
        raise ApiError(400, f"Compute host {asked} could not be found.")
    fit = [host for host in call.cloud.hypervisors.names() if host != row["host"] and _usable(call, host)]
    if asked is not None:
        return asked if asked in fit else None
    used = {host: _load(call, host) for host in fit}
    return min(fit, key=lambda host: used[host], default=None)


def _usable(call: Call, host: str) -> bool:
    service = compute_service(call.cloud, host)
    return service is not None and not service["disabled"] and service_is_up(call.cloud, service)


def _load(call: Call, host: str) -> int:
    row = call.cloud.nova.one("SELECT count(*) AS n FROM instances WHERE host = ? AND deleted = 0", host)
    return int(row["n"]) if row else 0


def _migration(call: Call, row: Row, target: str | None, kind: str, status: str) -> int:
    return call.cloud.nova.insert(
        "migrations",
        created_at=stamp(),
        updated_at=stamp(),
        source_compute=row["host"],
        source_node=row["node"],
        dest_compute=target,
        dest_node=target,
        dest_host="127.0.0.1",
        status=status,
        instance_uuid=row["uuid"],
        old_instance_type_id=row["instance_type_id"],
        new_instance_type_id=row["instance_type_id"],
        migration_type=kind,
        hidden=False,
        uuid=new_id(),
        deleted=0,
        user_id=call.caller.user_id,
        project_id=call.caller.project_id,
    )


def set_migration(cloud: "Cloud", migration: int, status: str) -> None:
    """Write a migration's status."""
    cloud.nova.update("migrations", {"id": migration}, status=status, updated_at=stamp())


def _no_host(call: Call, server: str, migration: int) -> None:
    cloud = call.cloud
    with records.event(cloud, server, "conductor_rebuild_server", "sim-ctl", call.origin):
        set_migration(cloud, migration, "error")
        rows.change(cloud, server, task_state=None, vm_state="error")
        cloud.nova.insert(
            "instance_faults",
            created_at=stamp(),
            instance_uuid=server,
            code=500,
            message="No valid host was found. There are not enough hosts available.",
            deleted=0,
        )
        raise records.Failed("No valid host was found. There are not enough hosts available.")


async def _rebuild(cloud: "Cloud", server: str, target: str, migration: int, started: bool, origin: Origin) -> None:
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_rebuild_instance", target, origin):
            set_migration(cloud, migration, "pre-migrating")
            await asyncio.sleep(cloud.settings.evacuate_seconds)
            disks.carry(cloud, server, target, origin)
            _settle(cloud, server, target)
            await cloud.hypervisors.boot_time(target)
            if started:
                cloud.hypervisors.guests.boot(server, target, "evacuate", origin)
                rows.change(cloud, server, vm_state="active", power_state=power.RUNNING, task_state=None)
            else:
                cloud.hypervisors.guests.copy_to(server, target)
                rows.change(cloud, server, vm_state="stopped", power_state=power.SHUTDOWN, task_state=None)
            rows.change(cloud, server, launched_at=stamp())
            set_migration(cloud, migration, "done")


def _settle(cloud: "Cloud", server: str, host: str) -> None:
    """The server, its ports and an allocation are on ``host`` now."""
    node = cloud.nova.one("SELECT id, uuid FROM compute_nodes WHERE host = ? AND deleted = 0", host)
    assert node is not None
    rows.change(cloud, server, host=host, node=host, compute_id=node["id"], launched_on=host)
    cloud.lab.write(
        "INSERT OR IGNORE INTO allocations SELECT ?, ?, vcpu, memory_mb, disk_gb FROM allocations"
        " WHERE consumer = ? LIMIT 1",
        server,
        node["uuid"],
        server,
    )
    for port in cloud.neutron.all("SELECT id FROM ports WHERE device_id = ?", server):
        neutron.bind(cloud, port["id"], host)
        cloud.journal.effect("port.update", port["id"], changes={"binding:host_id": host})


def migrate_live(call: Call, row: Row, given: Any) -> Reply:
    """Live migration to the host given, or to one that fits."""
    _only_admin(call, "os-migrate-server:migrate_live")
    if row["vm_state"] not in ("active", "paused") or row["task_state"]:
        attribute = "task_state" if row["task_state"] else "vm_state"
        raise ApiError(
            409,
            f"Cannot 'os-migrateLive' instance {row['uuid']} while it is in {attribute} {row[attribute]}",
        )
    if not _usable_source(call, row["host"]):
        raise ApiError(400, f"Compute service of {row['host']} is unavailable at this time.")
    target = _target(call, row, (given or {}).get("host"))
    if target is None:
        raise ApiError(400, "No valid host was found. There are not enough hosts available.")
    cloud, origin, server, source = call.cloud, call.origin, row["uuid"], row["host"]
    rows.change(cloud, server, task_state="migrating")
    records.begin(cloud, server, "live-migration", origin)
    migration = _migration(call, row, target, "live-migration", "queued")
    call.effect("server.migrateLive", server, source=source, dest=target, migration=migration)
    cloud.hypervisors.cast(source, lambda: _migrate(cloud, server, source, target, migration, origin))
    return Reply(202)


def _usable_source(call: Call, host: str) -> bool:
    service = compute_service(call.cloud, host)
    return service is not None and service_is_up(call.cloud, service)


async def _migrate(cloud: "Cloud", server: str, source: str, target: str, migration: int, origin: Origin) -> None:
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_live_migration", source, origin):
            set_migration(cloud, migration, "running")
            await asyncio.sleep(cloud.settings.migrate_seconds)
            disks.carry(cloud, server, target, origin)
            cloud.hypervisors.guests.move(server, source, target)
            _settle(cloud, server, target)
            drop_allocation(cloud, server, source)
            rows.change(cloud, server, task_state=None)
            set_migration(cloud, migration, "completed")


def drop_allocation(cloud: "Cloud", server: str, host: str) -> None:
    """Delete a server's allocation on the provider of a host."""
    cloud.lab.write(
        "DELETE FROM allocations WHERE consumer = ? AND provider IN (SELECT uuid FROM providers WHERE name = ?)",
        server,
        host,
    )
