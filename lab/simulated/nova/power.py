"""What nova-compute does with a guest's power: reboot, start, stop, pause, suspend and back."""

import asyncio
from typing import TYPE_CHECKING

from stackmend.lab.simulated.cinder import rows as cinder
from stackmend.lab.simulated.nova import records, rows
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp
from stackmend.lab.simulated.web import Origin

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

RUNNING, PAUSED, SHUTDOWN, SUSPENDED, GONE = 1, 3, 4, 7, 0
_HARD = ("rebooting_hard", "reboot_pending_hard", "reboot_started_hard")
_SOFT = ("rebooting", "reboot_pending", "reboot_started")


def _current(cloud: "Cloud", server: str) -> Row:
    row = rows.find(cloud, server)
    if row is None:
        raise records.Failed(f"Instance {server} could not be found.")
    return row


def _power(cloud: "Cloud", row: Row) -> int:
    guest = cloud.hypervisors.guests.get(row["uuid"], row["host"])
    if guest is None:
        return GONE
    return RUNNING if guest["running"] else SHUTDOWN


async def reboot(cloud: "Cloud", server: str, host: str, kind: str, origin: Origin) -> None:
    """Reboot HARD or SOFT; a SOFT one of a guest that is shut down becomes hard, as libvirt's driver does."""
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_reboot_instance", host, origin):
            _drop_dangling(cloud, server)
            _expect_reboot(cloud, server, kind)
            suffix = "_hard" if kind == "HARD" else ""
            rows.change(cloud, server, task_state=f"reboot_started{suffix}")
            await cloud.hypervisors.boot_time(host)
            _refuse_soft(cloud, server, host, kind)
            how = "hard" if kind == "HARD" or not cloud.hypervisors.guests.running(server, host) else "soft"
            cloud.hypervisors.guests.boot(server, host, f"{how} reboot", origin)
            rows.change(cloud, server, vm_state="active", power_state=RUNNING, task_state=None)


def _refuse_soft(cloud: "Cloud", server: str, host: str, kind: str) -> None:
    """A guest the hypervisor doesn't know can't be rebooted softly; the server is in error then."""
    if kind == "SOFT" and not _known(cloud, server, host):
        rows.change(cloud, server, vm_state="error", power_state=GONE, task_state=None)
        raise records.Failed(f"Instance {server} could not be found.")


def _expect_reboot(cloud: "Cloud", server: str, kind: str) -> None:
    row = _current(cloud, server)
    expected = _HARD if kind == "HARD" else _SOFT
    if row["task_state"] not in expected:
        raise records.Failed(
            f"Conflict updating instance {server}. Expected: {{'task_state': {list(expected)!r}}}."
            f" Actual: {{'task_state': {row['task_state']!r}}}"
        )
    suffix = "_hard" if kind == "HARD" else ""
    rows.change(cloud, server, task_state=f"reboot_pending{suffix}", power_state=_power(cloud, row))


def _drop_dangling(cloud: "Cloud", server: str) -> None:
    """Since nova 28: a mapping whose attachment cinder lost goes, and so does an attachment nova lost."""
    if cloud.legacy or "volume" not in cloud.listeners.open_names():
        return
    kept = set()
    for device in rows.devices(cloud, server):
        if not device["attachment_id"]:
            continue
        if cinder.attachment(cloud, device["attachment_id"]) is None:
            rows.drop_device(cloud, device)
            cloud.journal.effect("bdm.delete", server, volume=device["volume_id"], why="dangling")
        else:
            kept.add(device["attachment_id"])
    for attachment in cinder.attachments(cloud, server=server):
        if attachment["id"] not in kept:
            cinder.drop(cloud, attachment)
            cloud.journal.effect(
                "attachment.delete",
                attachment["id"],
                volume=attachment["volume_id"],
                server=server,
                why="dangling",
            )


async def start(cloud: "Cloud", server: str, host: str, origin: Origin) -> None:
    """Power on."""
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_start_instance", host, origin):
            await cloud.hypervisors.boot_time(host)
            cloud.hypervisors.guests.boot(server, host, "start", origin)
            rows.change(cloud, server, vm_state="active", power_state=RUNNING, task_state=None, launched_at=stamp())


async def stop(cloud: "Cloud", server: str, host: str, origin: Origin) -> None:
    """Power off. A guest the hypervisor doesn't know fails the work; the server stays as it was."""
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_stop_instance", host, origin):
            await asyncio.sleep(cloud.settings.stop_seconds)
            if not _known(cloud, server, host):
                rows.change(cloud, server, task_state=None)
                raise records.Failed(f"Instance {server} could not be found.")
            cloud.hypervisors.guests.stop(server, host)
            rows.change(cloud, server, vm_state="stopped", power_state=SHUTDOWN, task_state=None)
            cloud.journal.effect("guest.stop", server, host=host, **origin.ids)


def _known(cloud: "Cloud", server: str, host: str) -> bool:
    """True for a guest that the hypervisor can power off."""
    guest = cloud.hypervisors.guests.get(server, host)
    return guest is not None and bool(guest["running"] or cloud.settings.domains_survive)


async def hold(
    cloud: "Cloud", server: str, host: str, origin: Origin, event: str, vm_state: str, power_state: int
) -> None:
    """Pause, suspend, and back: the guest keeps its boot id."""
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, event, host, origin):
            await asyncio.sleep(cloud.settings.stop_seconds)
            rows.change(cloud, server, vm_state=vm_state, power_state=power_state, task_state=None)


async def delete(cloud: "Cloud", row: Row, origin: Origin) -> None:
    """Delete a server with its guest, ports, allocations and attachments."""
    server = row["uuid"]
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_terminate_instance", row["host"], origin):
            rows.change(cloud, server, task_state="deleting")
            await asyncio.sleep(cloud.settings.stop_seconds)
            devices = rows.devices(cloud, server)
            for device in devices:
                rows.drop_device(cloud, device)
            for attachment in cinder.attachments(cloud, server=server):
                cinder.drop(cloud, attachment)
            for device in devices:
                if device["delete_on_termination"]:
                    cinder.delete(cloud, device["volume_id"])
            cloud.hypervisors.guests.remove(server, row["host"])
            _forget(cloud, server)
            rows.change(cloud, server, vm_state="deleted", task_state=None, deleted=row["id"], deleted_at=stamp())
            cloud.journal.effect("server.delete", server, **origin.ids)


def _forget(cloud: "Cloud", server: str) -> None:
    cloud.lab.write("DELETE FROM allocations WHERE consumer = ?", server)
    for table in ("ipallocations", "ml2_port_bindings", "ml2_port_binding_levels"):
        cloud.neutron.write(f"DELETE FROM {table} WHERE port_id IN (SELECT id FROM ports WHERE device_id = ?)", server)
    cloud.neutron.write("DELETE FROM ports WHERE device_id = ?", server)
