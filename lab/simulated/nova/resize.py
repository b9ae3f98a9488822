"""Cold migration and resize: a guest is stopped, carried and started elsewhere; confirmed or taken back."""

import asyncio
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.hypervisors import CONTROLLER
from stackmend.lab.simulated.nova import disks, migrations, placing, power, records, rows
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Origin, Reply

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_KINDS = ("migration", "resize")


def migrate(call: Call, row: Row, given: Any) -> Reply:
    """Cold migration, to a host of the caller's choice since 2.56."""
    if not call.caller.admin:
        raise ApiError(403, "Policy doesn't allow os_compute_api:os-migrate-server:migrate to be performed.")
    asked = (given or {}).get("host") if call.at_least(56) else None
    _refuse_state(row, "migrate", ("active", "stopped"))
    if asked is not None and asked == row["host"]:
        raise ApiError(400, "Cannot migrate to the host where the server exists.")
    if asked is not None and asked not in call.cloud.hypervisors.names():
        raise ApiError(400, f"Compute host {asked} could not be found.")
    return _order(call, row, "migrate", "migration", row["instance_type_id"], asked)


def resize(call: Call, row: Row, given: Any) -> Reply:
    """Another flavor, on a host that the scheduler picks."""
    wanted = (given or {}).get("flavorRef")
    flavor = call.cloud.lab.one("SELECT id FROM flavors WHERE flavorid = ?", wanted)
    if flavor is None:
        raise ApiError(400, f"Flavor {wanted} could not be found.")
    _refuse_state(row, "resize", ("active", "stopped"))
    if flavor["id"] == row["instance_type_id"]:
        raise ApiError(400, "When resizing, instances must change flavor!")
    return _order(call, row, "resize", "resize", flavor["id"], None)


def _refuse_state(row: Row, verb: str, states: tuple[str, ...]) -> None:
    for attribute, fine in (("vm_state", row["vm_state"] in states), ("task_state", row["task_state"] is None)):
        if not fine:
            raise ApiError(409, f"Cannot '{verb}' instance {row['uuid']} while it is in {attribute} {row[attribute]}")


def _order(call: Call, row: Row, action: str, kind: str, flavor: int, asked: str | None) -> Reply:
    cloud, origin, server = call.cloud, call.origin, row["uuid"]
    rows.change(cloud, server, task_state="resize_prep")
    records.begin(cloud, server, action, origin)
    flavors = {"old_instance_type_id": row["instance_type_id"], "new_instance_type_id": flavor}
    migration = migrations.begin(cloud, row, kind, "pre-migrating", origin, source_node=row["node"], **flavors)
    call.effect(f"server.{action}", server, source=row["host"], dest=asked, migration=migration["id"])
    cloud.background(_prepare(cloud, row, asked, migration, origin))
    return Reply(202)


async def _prepare(cloud: "Cloud", row: Row, asked: str | None, migration: Row, origin: Origin) -> None:
    server = row["uuid"]
    await asyncio.sleep(cloud.settings.schedule_seconds)
    with records.event(cloud, server, "cold_migrate", CONTROLLER, origin):
        target = placing.choose(cloud, server, asked, row["host"])
        if target is None:
            migrations.change(cloud, migration, "error")
            rows.change(cloud, server, task_state=None)
            raise records.Failed(placing.NO_HOST)
        placing.hand_over(cloud, server, migration["uuid"])
        placing.allocate(cloud, server, target, migration["new_instance_type_id"])
        known = {"dest_compute": target, "dest_node": target, "dest_host": "127.0.0.1"}
        migrations.change(cloud, migration, "pre-migrating", **known)
        cloud.hypervisors.cast(row["host"], lambda: _carry(cloud, row, target, migration, origin))


async def _carry(cloud: "Cloud", row: Row, target: str, migration: Row, origin: Origin) -> None:
    server, source = row["uuid"], row["host"]
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_resize_instance", source, origin):
            rows.change(cloud, server, task_state="resize_migrating")
            migrations.change(cloud, migration, "migrating")
            await asyncio.sleep(cloud.settings.migrate_seconds)
            cloud.hypervisors.guests.stop(server, source)
            placing.settle(cloud, server, target)
            rows.change(cloud, server, task_state="resize_migrated")
            migrations.change(cloud, migration, "post-migrating")
        with records.event(cloud, server, "compute_finish_resize", target, origin):
            placing.move_ports(cloud, server, target, origin.ids)
            disks.carry(cloud, server, target, origin)
            rows.change(cloud, server, task_state="resize_finish")
            _power_as_before(cloud, row, target, origin)
            migrations.change(cloud, migration, "finished")
            flavor = migration["new_instance_type_id"]
            rows.change(cloud, server, vm_state="resized", task_state=None, instance_type_id=flavor)


def _power_as_before(cloud: "Cloud", row: Row, host: str, origin: Origin) -> None:
    if row["power_state"] == power.RUNNING:
        cloud.hypervisors.guests.boot(row["uuid"], host, "resize", origin)
    else:
        cloud.hypervisors.guests.copy_to(row["uuid"], host)


def confirm(call: Call, row: Row, _given: Any) -> Reply:
    """The old host lets go of the server."""
    migration = _finished(call, row, "confirmResize")
    cloud, origin, source = call.cloud, call.origin, migration["source_compute"]
    records.begin(cloud, row["uuid"], "confirmResize", origin)
    migrations.change(cloud, migration, "confirming")
    call.effect("server.confirmResize", row["uuid"], source=source)
    cloud.hypervisors.cast(source, lambda: _confirm(cloud, row, migration, origin))
    return Reply(204)


def _finished(call: Call, row: Row, verb: str) -> Row:
    _refuse_state(row, verb, ("resized",))
    migration = call.cloud.nova.one(
        "SELECT * FROM migrations WHERE instance_uuid = ? AND status = 'finished' AND deleted = 0 ORDER BY id DESC",
        row["uuid"],
    )
    if migration is None:
        raise ApiError(400, "Instance has not been resized.")
    return migration


async def _confirm(cloud: "Cloud", row: Row, migration: Row, origin: Origin) -> None:
    server, source = row["uuid"], migration["source_compute"]
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_confirm_resize", source, origin):
            cloud.hypervisors.guests.remove(server, source)
            migrations.change(cloud, migration, "confirmed")
            _rest(cloud, row)
            placing.drop_allocation(cloud, migration["uuid"], source)


def _rest(cloud: "Cloud", row: Row) -> None:
    running = row["power_state"] == power.RUNNING
    rows.change(cloud, row["uuid"], vm_state="active" if running else "stopped", task_state=None)


def revert(call: Call, row: Row, _given: Any) -> Reply:
    """Back to the host and the flavor it came from."""
    migration = _finished(call, row, "revertResize")
    cloud, origin = call.cloud, call.origin
    rows.change(cloud, row["uuid"], task_state="resize_reverting")
    records.begin(cloud, row["uuid"], "revertResize", origin)
    call.effect("server.revertResize", row["uuid"], source=row["host"], dest=migration["source_compute"])
    cloud.hypervisors.cast(row["host"], lambda: _revert(cloud, row, migration, origin))
    return Reply(202)


async def _revert(cloud: "Cloud", row: Row, migration: Row, origin: Origin) -> None:
    server, source, target = row["uuid"], migration["source_compute"], row["host"]
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_revert_resize", target, origin):
            migrations.change(cloud, migration, "reverting")
            await asyncio.sleep(cloud.settings.migrate_seconds)
            cloud.hypervisors.guests.remove(server, target)
            migrations.change(cloud, migration, "reverted")
        with records.event(cloud, server, "compute_finish_revert_resize", source, origin):
            placing.settle(cloud, server, source)
            placing.drop_allocation(cloud, server, target)
            placing.hand_over(cloud, migration["uuid"], server)
            placing.move_ports(cloud, server, source, origin.ids)
            disks.carry(cloud, server, source, origin)
            _power_as_before(cloud, row, source, origin)
            rows.change(cloud, server, instance_type_id=migration["old_instance_type_id"])
            _rest(cloud, row)
