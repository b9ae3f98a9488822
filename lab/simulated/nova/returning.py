"""What nova-compute does when it starts: cleans up, goes on with reboots, looks for its guests."""

from typing import TYPE_CHECKING

from stackmend.lab.simulated.nova import migrations, placing, power, records, rows
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import Caller, Origin, new_request_id

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


async def on_compute_start(cloud: "Cloud", host: str) -> None:
    """What nova-compute does when it starts: clean up what was evacuated, go on with stuck reboots."""
    done = cloud.nova.all(
        "SELECT * FROM migrations WHERE source_compute = ? AND migration_type = 'evacuation'"
        " AND status IN ('accepted', 'done') AND deleted = 0",
        host,
    )
    for migration in done:
        row = rows.find(cloud, migration["instance_uuid"])
        if row is not None and row["host"] == host:
            continue
        cloud.hypervisors.guests.remove(migration["instance_uuid"], host)
        placing.drop_allocation(cloud, migration["instance_uuid"], host)
        migrations.change(cloud, migration, "completed")
        cloud.journal.effect("host.cleanup", host, server=migration["instance_uuid"])
    here = cloud.nova.all("SELECT uuid, task_state, vm_state FROM instances WHERE host = ? AND deleted = 0", host)
    for row in here:
        await _go_on(cloud, row, host)


async def _go_on(cloud: "Cloud", row: Row, host: str) -> None:
    if cloud.hypervisors.guests.running(row["uuid"], host):
        return
    if "reboot" in (row["task_state"] or ""):
        await cloud.hypervisors.boot_time(host)
        cloud.hypervisors.guests.boot(row["uuid"], host, "reboot at nova-compute's start")
        rows.change(cloud, row["uuid"], vm_state="active", power_state=power.RUNNING, task_state=None)
    elif row["vm_state"] == "active" and row["task_state"] is None and cloud.settings.sync_power_states:
        _sync(cloud, row["uuid"], host)


def _sync(cloud: "Cloud", server: str, host: str) -> None:
    """A guest that is shut down is stopped by nova itself, by an action of no user; a gone one is only noted."""
    if not cloud.settings.domains_survive:
        rows.change(cloud, server, power_state=power.GONE)
        return
    origin = Origin(new_request_id(), None, Caller("", "", "", ()))
    records.begin(cloud, server, "stop", origin)
    with records.event(cloud, server, "compute_stop_instance", host, origin):
        rows.change(cloud, server, vm_state="stopped", power_state=power.SHUTDOWN)
    cloud.journal.effect("server.stop", server, host=host, why="shut down by itself", **origin.ids)
