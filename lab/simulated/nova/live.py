"""Live migration: a running guest changes its host."""

import asyncio
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.hypervisors import CONTROLLER
from stackmend.lab.simulated.neutron import rows as neutron
from stackmend.lab.simulated.nova import disks, migrations, placing, records, rows
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Origin, Reply

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_SCHEMA = "Invalid input for field/attribute os-migrateLive. Value: {}. '{}' is a required property"


def migrate_live(call: Call, row: Row, given: Any) -> Reply:
    """Take the order. From 2.34 on whatever speaks against it is only told by the action and its migration."""
    if not call.caller.admin:
        raise ApiError(403, "Policy doesn't allow os_compute_api:os-migrate-server:migrate_live to be performed.")
    given = given or {}
    for name in ("block_migration", "host"):
        if name not in given:
            raise ApiError(400, _SCHEMA.format(given, name))
    _refuse_state(row)
    cloud, origin, asked = call.cloud, call.origin, given["host"]
    why = _obstacle(cloud, row, asked)
    if why and not call.at_least(34):
        raise ApiError(400, why)
    if call.at_least(30) and asked is not None and asked not in cloud.hypervisors.names():
        raise ApiError(400, f"Compute host {asked} could not be found.")
    rows.change(cloud, row["uuid"], task_state="migrating")
    records.begin(cloud, row["uuid"], "live-migration", origin)
    flavor = row["instance_type_id"]
    migration = migrations.begin(
        cloud, row, "live-migration", "accepted", origin, old_instance_type_id=flavor, new_instance_type_id=flavor
    )
    call.effect("server.migrateLive", row["uuid"], source=row["host"], dest=asked, migration=migration["id"])
    cloud.background(_prepare(cloud, row, asked, migration, origin))
    return Reply(202)


def _refuse_state(row: Row) -> None:
    if row["vm_state"] not in ("active", "paused") or row["task_state"]:
        attribute = "task_state" if row["vm_state"] in ("active", "paused") else "vm_state"
        raise ApiError(
            409, f"Cannot 'os-migrateLive' instance {row['uuid']} while it is in {attribute} {row[attribute]}"
        )


def _obstacle(cloud: "Cloud", row: Row, asked: str | None) -> str:
    if not placing.up(cloud, row["host"]):
        return f"Compute service of {row['host']} is unavailable at this time."
    if asked == row["host"]:
        return f"Unable to migrate instance ({row['uuid']}) to current host ({asked})."
    if placing.choose(cloud, row["uuid"], asked, row["host"]) is None:
        return placing.NO_HOST
    return ""


async def _prepare(cloud: "Cloud", row: Row, asked: str | None, migration: Row, origin: Origin) -> None:
    """The conductor's part; a refusal here leaves the server where it was, and as it was."""
    server, source = row["uuid"], row["host"]
    await asyncio.sleep(cloud.settings.schedule_seconds)
    with records.event(cloud, server, "conductor_live_migrate_instance", CONTROLLER, origin):
        target = placing.choose(cloud, server, asked, source)
        why = _obstacle(cloud, row, asked)
        if not why and target and not _can_wire(cloud, server, target):
            why = f"Binding failed for port of {server} on {target}, please check neutron logs for more information."
        if why or target is None:
            migrations.change(cloud, migration, "error")
            rows.change(cloud, server, task_state=None)
            raise records.Failed(why)
        placing.hand_over(cloud, server, migration["uuid"])
        placing.allocate(cloud, server, target, row["instance_type_id"])
        for port in cloud.neutron.all("SELECT id FROM ports WHERE device_id = ?", server):
            neutron.add_inactive(cloud, port["id"], target)
        node = {"source_node": row["node"], "dest_compute": target, "dest_node": target}
        migrations.change(cloud, migration, "preparing", **node)
        cloud.hypervisors.cast(source, lambda: _migrate(cloud, row, target, migration, origin))


def _can_wire(cloud: "Cloud", server: str, target: str) -> bool:
    ports = cloud.neutron.all("SELECT id FROM ports WHERE device_id = ?", server)
    return not ports or neutron.agent_alive(cloud, target)


async def _migrate(cloud: "Cloud", row: Row, target: str, migration: Row, origin: Origin) -> None:
    """The server is idle on its new host before its migration says ``completed``."""
    server, source = row["uuid"], row["host"]
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_live_migration", source, origin):
            old = disks.attach_again(cloud, server, target)
            migrations.change(cloud, migration, "running")
            await asyncio.sleep(cloud.settings.migrate_seconds)
            disks.let_go(cloud, server, old, target, origin)
            cloud.hypervisors.guests.move(server, source, target)
            for port in cloud.neutron.all("SELECT id FROM ports WHERE device_id = ?", server):
                neutron.activate(cloud, port["id"], target)
            placing.settle(cloud, server, target)
            rows.change(cloud, server, task_state=None)
            await asyncio.sleep(cloud.settings.settle_seconds)
            placing.drop_allocation(cloud, migration["uuid"], source)
            migrations.change(cloud, migration, "completed")
