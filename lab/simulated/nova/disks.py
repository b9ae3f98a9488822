"""What nova-compute does with volumes: attach, detach, and carry them to another host."""

import asyncio
import string
from typing import TYPE_CHECKING

from stackmend.lab.simulated.cinder import rows as cinder
from stackmend.lab.simulated.nova import records, rows
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Origin

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


def device_name(cloud: "Cloud", instance: Row, asked: str | None) -> str:
    """The device a volume gets: the letter asked for under the root's prefix, or the first free one; 409."""
    prefix = str(instance["root_device_name"])[:-1]
    used = {
        row["device_name"]
        for row in cloud.nova.all(
            "SELECT device_name FROM block_device_mapping WHERE instance_uuid = ? AND deleted = 0",
            instance["uuid"],
        )
    }
    used.add(instance["root_device_name"])
    if asked:
        wanted = prefix + asked[-1]
        if wanted in used:
            raise ApiError(409, f"The supplied device path ({asked}) is in use.")
        return wanted
    return next(prefix + letter for letter in string.ascii_lowercase if prefix + letter not in used)


def _device(cloud: "Cloud", server: str, volume: str) -> Row:
    for device in rows.devices(cloud, server):
        if device["volume_id"] == volume:
            return device
    raise records.Failed(f"Volume {volume} is not attached to instance {server}")


async def attach(cloud: "Cloud", server: str, volume: str, host: str, origin: Origin) -> None:
    """Plug a reserved volume; when cinder refuses, mapping and reservation are taken back."""
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_attach_volume", host, origin):
            device = _device(cloud, server, volume)
            attachment = volume if cloud.legacy else device["attachment_id"]
            _refuse_second(cloud, volume, attachment, device)
            cinder.connect(cloud, attachment, host, device["device_name"])
            await asyncio.sleep(cloud.settings.attach_seconds)
            cinder.complete(cloud, attachment, volume, server, host, device["device_name"])
            cloud.journal.effect("attachment.create", attachment, volume=volume, server=server, host=host, **origin.ids)


def _refuse_second(cloud: "Cloud", volume: str, attachment: str, device: Row) -> None:
    row = cinder.volume(cloud, volume)
    if row is None or row["multiattach"] or cloud.legacy or not cinder.attached_count(cloud, volume):
        return
    rows.drop_device(cloud, device)
    reserved = cinder.attachment(cloud, attachment)
    if reserved is not None:
        cinder.drop(cloud, reserved)
    raise records.Failed(f"Invalid volume: volume {volume} is attached already")


async def detach(cloud: "Cloud", server: str, volume: str, host: str, origin: Origin) -> None:
    """Unplug a volume, and delete its attachment and its mapping."""
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute_detach_volume", host, origin):
            await asyncio.sleep(cloud.settings.attach_seconds)
            device = _device(cloud, server, volume)
            attachment = cinder.attachment(cloud, volume if cloud.legacy else device["attachment_id"])
            if attachment is not None:
                cinder.drop(cloud, attachment)
                cloud.journal.effect("attachment.delete", attachment["id"], volume=volume, server=server, **origin.ids)
            rows.drop_device(cloud, device)


def attach_again(cloud: "Cloud", server: str, host: str) -> list[str]:
    """A second attachment of each volume, from ``host``, which the mappings name from now on; the first ones."""
    old = []
    for device in rows.devices(cloud, server):
        if cloud.legacy or not device["attachment_id"]:
            continue
        made = cinder.reserve(cloud, device["volume_id"], server)
        cinder.connect(cloud, made, host, device["device_name"])
        cinder.complete(cloud, made, device["volume_id"], server, host, device["device_name"])
        cloud.nova.update("block_device_mapping", {"id": device["id"]}, attachment_id=made)
        old.append(str(device["attachment_id"]))
    return old


def let_go(cloud: "Cloud", server: str, old: list[str], host: str, origin: Origin) -> None:
    """The end of a move: the attachments from the host it left are deleted."""
    for attachment in old:
        row = cinder.attachment(cloud, attachment)
        if row is not None:
            cinder.drop(cloud, row)
    for device in rows.devices(cloud, server):
        if cloud.legacy:
            cinder.change(cloud, device["volume_id"], attached_host=host)
        elif device["attachment_id"]:
            details = {"volume": device["volume_id"], "server": server, "host": host}
            cloud.journal.effect("attachment.create", device["attachment_id"], **details, **origin.ids)


def give_back(cloud: "Cloud", server: str, old: list[str]) -> None:
    """A move that came to nothing: the mappings name the first attachments again, the second ones go."""
    moved = [row for row in rows.devices(cloud, server) if not cloud.legacy and row["attachment_id"]]
    for device, attachment in zip(moved, old, strict=True):
        made = cinder.attachment(cloud, device["attachment_id"])
        cloud.nova.update("block_device_mapping", {"id": device["id"]}, attachment_id=attachment)
        if made is not None:
            cinder.drop(cloud, made)


def carry(cloud: "Cloud", server: str, host: str, origin: Origin) -> None:
    """After a move: each volume has a new attachment from the new host, the old one is gone."""
    let_go(cloud, server, attach_again(cloud, server, host), host, origin)
