"""Evacuate: a server of a dead host is built again elsewhere."""

import asyncio
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.hypervisors import CONTROLLER
from stackmend.lab.simulated.nova import disks, migrations, placing, power, records, rows, wishes
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp
from stackmend.lab.simulated.web import ApiError, Call, Origin, Reply

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_STATES = ("active", "stopped", "error")


def evacuate(call: Call, row: Row, given: Any) -> Reply:
    """Take the order. From 2.95 on the server is left stopped; a second order while one runs is taken too."""
    if not call.caller.admin:
        raise ApiError(403, "Policy doesn't allow os_compute_api:os-evacuate to be performed.")
    given = given or {}
    asked = given.get("host")
    _refuse(call, row, given)
    cloud, origin = call.cloud, call.origin
    rows.change(cloud, row["uuid"], task_state="rebuilding")
    records.begin(cloud, row["uuid"], "evacuate", origin)
    migration = migrations.begin(
        cloud, row, "evacuation", "accepted", origin, source_node=row["node"], dest_compute=asked
    )
    call.effect("server.evacuate", row["uuid"], source=row["host"], dest=asked, migration=migration["id"])
    started = row["vm_state"] != "stopped" and not call.at_least(95)
    cloud.background(_place(cloud, row, asked, migration, started, origin))
    return Reply(200, {"adminPass": "simulated"} if not call.at_least(14) else None)


def _refuse(call: Call, row: Row, given: dict[str, Any]) -> None:
    allowed = {"host": 0, "adminPass": 0, **({} if call.at_least(14) else {"onSharedStorage": 0})}
    if call.at_least(29) and not call.at_least(68):
        allowed["force"] = 0
    for name in given:
        if name not in allowed:
            reason = f"Additional properties are not allowed ('{name}' was unexpected)"
            raise ApiError(400, f"Invalid input for field/attribute evacuate. Value: {given}. {reason}")
    host = given.get("host")
    if host is not None and host not in call.cloud.hypervisors.names():
        raise ApiError(404, f"Compute host {host} not found.")
    if host is not None and host == row["host"]:
        raise ApiError(400, "The target host can't be the same one.")
    wishes.refuse(call, row, "evacuate")
    if row["vm_state"] not in _STATES:
        raise ApiError(409, f"Cannot 'evacuate' instance {row['uuid']} while it is in vm_state {row['vm_state']}")
    if placing.up(call.cloud, row["host"]):
        raise ApiError(400, f"Compute service of {row['host']} is still in use.")


async def _place(cloud: "Cloud", row: Row, asked: str | None, migration: Row, started: bool, origin: Origin) -> None:
    """The conductor's part: find a host, and hand the work to it."""
    server = row["uuid"]
    await asyncio.sleep(cloud.settings.schedule_seconds)
    with records.event(cloud, server, "rebuild_server", CONTROLLER, origin):
        target = placing.choose(cloud, server, asked, row["host"])
        if target is None:
            migrations.change(cloud, migration, "error")
            rows.change(cloud, server, task_state=None, vm_state="error")
            records.fault(cloud, server, placing.NO_HOST)
            raise records.Failed(placing.NO_HOST)
        placing.allocate(cloud, server, target, row["instance_type_id"])
        cloud.hypervisors.cast(target, lambda: _rebuild(cloud, row, target, migration, started, origin))


async def _rebuild(cloud: "Cloud", row: Row, target: str, migration: Row, started: bool, origin: Origin) -> None:
    server = row["uuid"]
    known = {"dest_compute": target, "dest_node": target, "dest_host": "127.0.0.1"}
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_rebuild_instance", target, origin):
            if (rows.find(cloud, server) or row)["host"] != row["host"]:
                _collide(cloud, row, target)
            migrations.change(cloud, migration, "pre-migrating", **known)
            if target in cloud.settings.rebuilds_fail.split(","):
                await _fail(cloud, migration, server, target)
            await asyncio.sleep(cloud.settings.evacuate_seconds)
            placing.move_ports(cloud, server, target, origin.ids)
            rows.change(cloud, server, task_state="rebuild_block_device_mapping", power_state=power.GONE)
            disks.carry(cloud, server, target, origin)
            rows.change(cloud, server, task_state="rebuild_spawning")
            await cloud.hypervisors.boot_time(target)
            cloud.hypervisors.guests.boot(server, target, "evacuate", origin)
            await _come_up(cloud, server, target, started, origin)
            placing.settle(cloud, server, target)
            migrations.change(cloud, migration, "done")


async def _fail(cloud: "Cloud", migration: Row, server: str, target: str) -> None:
    """A rebuild that fails on its host: the server stays where it was, in error; its record says so first, then why."""
    migrations.change(cloud, migration, "failed")
    placing.drop_allocation(cloud, server, target)
    rows.change(cloud, server, vm_state="error")
    await asyncio.sleep(cloud.settings.settle_seconds)
    rows.change(cloud, server, task_state=None)
    records.fault(cloud, server, "Failed to build the guest: no space left on device")
    raise records.Failed("Failed to build the guest: no space left on device")


async def _come_up(cloud: "Cloud", server: str, target: str, started: bool, origin: Origin) -> None:
    """It is ACTIVE and idle for a moment before its row says where it is, and before a stop that follows."""
    now = {"vm_state": "active", "power_state": power.RUNNING, "task_state": None, "launched_at": stamp()}
    rows.change(cloud, server, **now)
    await asyncio.sleep(cloud.settings.settle_seconds)
    if started:
        return
    with records.event(cloud, server, "compute_stop_instance", target, origin):
        cloud.hypervisors.guests.stop(server, target)
        rows.change(cloud, server, vm_state="stopped", power_state=power.SHUTDOWN, task_state=None)


def _collide(cloud: "Cloud", row: Row, target: str) -> None:
    """A second evacuation that finds the first one done spoils it: its record fails, the server is in error."""
    done = cloud.nova.one(
        "SELECT * FROM migrations WHERE instance_uuid = ? AND migration_type = 'evacuation' AND status = 'done'"
        " ORDER BY id DESC",
        row["uuid"],
    )
    if done is not None:
        migrations.change(cloud, done, "failed")
    placing.drop_allocation(cloud, row["uuid"], target)
    rows.change(cloud, row["uuid"], vm_state="error", task_state=None)
    records.fault(cloud, row["uuid"], "Binding failed")
    raise records.Failed(f"Instance {row['uuid']} is on another host by now")
