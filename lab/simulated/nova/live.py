"""Live migration: a running guest changes its host."""

import asyncio
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.hypervisors import CONTROLLER
from stackmend.lab.simulated.neutron import rows as neutron
from stackmend.lab.simulated.nova import disks, migrations, placing, records, rows, wishes
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Operation, Origin, Reply

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_ABORT, _COMPLETE = "abort", "complete"
# The live migrations that copy memory now, by uuid: how each one was asked to end.
_COPYING: dict[str, "asyncio.Future[str]"] = {}
_SCHEMA = "Invalid input for field/attribute os-migrateLive. Value: {}. '{}' is a required property"


def migrate_live(call: Call, row: Row, given: Any) -> Reply:
    """Take the order. From 2.34 on whatever speaks against it is only told by the action and its migration."""
    if not call.caller.admin:
        raise ApiError(403, "Policy doesn't allow os_compute_api:os-migrate-server:migrate_live to be performed.")
    given = given or {}
    for name in ("block_migration", "host"):
        if name not in given:
            raise ApiError(400, _SCHEMA.format(given, name))
    wishes.refuse(call, row, "live-migration")
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
            if not cloud.hypervisors.alive(target):
                await asyncio.sleep(cloud.settings.rpc_timeout)
                _take_back(cloud, row, target, migration, old, "error")
                raise records.Failed(f"Timed out waiting for a reply from {target}")
            migrations.change(cloud, migration, "running")
            if await _copied(cloud, migration) == _ABORT:
                return _take_back(cloud, row, target, migration, old, "cancelled")
            disks.let_go(cloud, server, old, target, origin)
            cloud.hypervisors.guests.move(server, source, target)
            for port in cloud.neutron.all("SELECT id FROM ports WHERE device_id = ?", server):
                neutron.activate(cloud, port["id"], target)
            placing.settle(cloud, server, target)
            rows.change(cloud, server, task_state=None)
            await asyncio.sleep(cloud.settings.settle_seconds)
            placing.drop_allocation(cloud, migration["uuid"], source)
            migrations.change(cloud, migration, "completed")
            return None


async def _copied(cloud: "Cloud", migration: Row) -> str:
    """Copy the memory; how it ended."""
    wish = _COPYING[migration["uuid"]] = asyncio.get_running_loop().create_future()
    try:
        return await asyncio.wait_for(wish, cloud.settings.migrate_seconds)
    except TimeoutError:
        return _COMPLETE
    finally:
        del _COPYING[migration["uuid"]]


def _take_back(cloud: "Cloud", row: Row, target: str, migration: Row, old: list[str], status: str) -> None:
    """The rollback: what was prepared for the target goes, and the server is as it was."""
    server = row["uuid"]
    disks.give_back(cloud, server, old)
    for port in cloud.neutron.all("SELECT id FROM ports WHERE device_id = ?", server):
        neutron.drop_inactive(cloud, port["id"])
    placing.drop_allocation(cloud, server, target)
    placing.hand_over(cloud, migration["uuid"], server)
    rows.change(cloud, server, task_state=None)
    migrations.change(cloud, migration, status)


def _ended(how: str, verb: str, action: str) -> Any:
    """End a live migration that copies memory; nova answers before its compute has done it."""

    def end(call: Call) -> Reply:
        row = rows.instance(call)
        if row["task_state"] != "migrating":
            raise ApiError(409, f"Instance {row['uuid']} is in an invalid state for '{verb}'")
        found = call.cloud.nova.one(
            "SELECT * FROM migrations WHERE id = ? AND instance_uuid = ?", call.params["migration"], row["uuid"]
        )
        if found is None:
            raise ApiError(404, f"Migration {call.params['migration']} not found for instance {row['uuid']}")
        if found["status"] != "running":
            message = f"Migration {found['id']} state of instance {row['uuid']} is {found['status']}."
            raise ApiError(400, f"{message} Cannot {verb} while the migration is in this state.")
        records.begin(call.cloud, row["uuid"], action, call.origin)
        call.effect(f"migration.{how}", row["uuid"], migration=found["id"])
        if (wish := _COPYING.get(found["uuid"])) is not None and not wish.done():
            wish.set_result(how)
        return Reply(202)

    return end


_RULE = "os_compute_api:servers:migrations:{}"
_ONE = "/servers/{server}/migrations/{migration}"
OPERATIONS = (
    Operation(
        "DELETE",
        _ONE,
        _ended(_ABORT, "abort live migration", "live_migration_cancel"),
        policy=_RULE.format("delete"),
        since=24,
    ),
    Operation(
        "POST",
        f"{_ONE}/action",
        _ended(_COMPLETE, "force_complete", "live_migration_force_complete"),
        policy=_RULE.format("force_complete"),
        since=22,
    ),
)
