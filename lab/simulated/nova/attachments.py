"""os-volume_attachments: which volumes a server has, attach, detach."""

import asyncio
import uuid
from typing import Any

from stackmend.lab.simulated.cinder import rows as cinder
from stackmend.lab.simulated.cinder.attachments import refusal
from stackmend.lab.simulated.nova import disks, records, rows
from stackmend.lab.simulated.nova.actions import check
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

_ATTACHABLE = ("active", "paused", "stopped", "resized", "soft-delete")
_DETACHABLE = ("active", "paused", "stopped", "resized", "suspended", "shelved", "shelved_offloaded")


def _view(call: Call, device: Row) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": device["volume_id"],
        "volumeId": device["volume_id"],
        "serverId": device["instance_uuid"],
        "device": device["device_name"],
    }
    if call.at_least(70):
        view["tag"] = None if call.cloud.legacy else device["tag"]
    if call.at_least(79):
        view["delete_on_termination"] = bool(device["delete_on_termination"])
    if call.at_least(89):
        view.pop("id")
        if not call.cloud.legacy:
            view |= {"attachment_id": device["attachment_id"], "bdm_uuid": device["uuid"]}
    return view


def _list(call: Call) -> Reply:
    server = rows.instance(call)["uuid"]
    devices = [d for d in rows.devices(call.cloud, server) if call.cloud.legacy or d["attachment_id"]]
    return Reply(200, {"volumeAttachments": [_view(call, device) for device in devices]})


def _device(call: Call, server: str) -> Row:
    volume = call.params["volume"]
    if cinder.volume(call.cloud, volume) is None:
        raise ApiError(404, f"Volume {volume} could not be found.")
    for device in rows.devices(call.cloud, server):
        if device["volume_id"] == volume:
            return device
    raise ApiError(404, f"Instance {server} is not attached to volume {volume}")


def _show(call: Call) -> Reply:
    server, volume = rows.instance(call)["uuid"], call.params["volume"]
    for device in rows.devices(call.cloud, server):
        if device["volume_id"] == volume:
            return Reply(200, {"volumeAttachment": _view(call, device)})
    raise ApiError(404, f"Instance {server} is not attached to volume {volume}")


async def _attach(call: Call) -> Reply:
    instance, given = rows.instance(call), call.inner("volumeAttachment")
    check(call, instance, "attach_volume", _ATTACHABLE, ())
    volume = _volume(call, given)
    _refuse_attached(call, volume, instance["uuid"])
    device_name = disks.device_name(call.cloud, instance, given.get("device"))
    await _ask_compute(call, instance, volume, device_name)
    _refuse_status(call, volume, instance["uuid"])
    attachment = cinder.reserve(call.cloud, volume["id"], instance["uuid"])
    rows.add_device(
        call.cloud,
        instance["uuid"],
        volume["id"],
        volume["size"],
        device_name,
        attachment_id=attachment,
        tag=given.get("tag") if call.at_least(49) else None,
        delete_on_termination=bool(given.get("delete_on_termination")) if call.at_least(79) else False,
    )
    origin, server, host = call.origin, instance["uuid"], instance["host"]
    records.begin(call.cloud, server, "attach_volume", origin)
    call.effect("volume.attach", volume["id"], server=server, device=device_name, attachment=attachment)
    call.cloud.hypervisors.cast(host, lambda: disks.attach(call.cloud, server, volume["id"], host, origin))
    return _attach_reply(call, server, volume["id"])


def _attach_reply(call: Call, server: str, volume: str) -> Reply:
    if call.at_least(101):
        return Reply(202)
    device = next(d for d in rows.devices(call.cloud, server) if d["volume_id"] == volume)
    view = _view(call, device)
    view.pop("attachment_id", None)
    view.pop("bdm_uuid", None)
    return Reply(200, {"volumeAttachment": {"id": volume, **view}})


def _volume(call: Call, given: dict[str, Any]) -> Row:
    _check_volume_id(given)
    volume = cinder.volume(call.cloud, str(given.get("volumeId")))
    if volume is None or not (call.caller.admin or volume["project_id"] == call.caller.project_id):
        raise ApiError(404, f"Volume {given.get('volumeId')} could not be found.")
    return volume


def _check_volume_id(given: dict[str, Any]) -> None:
    if "volumeId" not in given:
        raise ApiError(
            400,
            f"Invalid input for field/attribute volumeAttachment. Value: {given}. 'volumeId' is a required property",
        )
    wanted = given["volumeId"]
    try:
        uuid.UUID(str(wanted))
    except ValueError as error:
        raise ApiError(
            400, f"Invalid input for field/attribute volumeId. Value: {wanted}. {wanted!r} is not a 'uuid'"
        ) from error


def _refuse_attached(call: Call, volume: Row, server: str) -> None:
    found = call.cloud.nova.all(
        "SELECT instance_uuid FROM block_device_mapping WHERE volume_id = ? AND deleted = 0", volume["id"]
    )
    servers = [row["instance_uuid"] for row in found]
    if servers and (not volume["multiattach"] or server in servers):
        raise ApiError(
            400,
            f"Invalid volume: volume {volume['id']} is already attached to instances: {', '.join(servers)}",
        )


def _refuse_status(call: Call, volume: Row, server: str) -> None:
    why = refusal(volume, cinder.attachments(call.cloud, volumes=[volume["id"]]), server)
    if why:
        raise ApiError(400, f"Invalid input received: {why} (HTTP 400) (Request-ID: {call.request_id})")


async def _ask_compute(call: Call, instance: Row, volume: Row, device_name: str) -> None:
    """The device's name is asked of nova-compute by a call that waits: with a dead one, for a long time.

    The question stays in its queue, and a returning nova-compute answers it by half a mapping.
    """
    cloud, server = call.cloud, instance["uuid"]
    if cloud.hypervisors.alive(instance["host"]):
        return

    async def late() -> None:
        rows.add_device(cloud, server, volume["id"], volume["size"], device_name)

    cloud.hypervisors.cast(instance["host"], late)
    await asyncio.sleep(cloud.settings.rpc_timeout)
    raise ApiError(
        500,
        "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API"
        " log if possible.\n<class 'oslo_messaging.rpc.client.RemoteError'>",
    )


def _detach(call: Call) -> Reply:
    instance = rows.instance(call)
    device = _device(call, instance["uuid"])
    check(call, instance, "detach_volume", _DETACHABLE, ())
    if device["boot_index"] == 0:
        raise ApiError(400, "Cannot detach a root device volume")
    volume = cinder.volume(call.cloud, device["volume_id"])
    assert volume is not None
    if (volume["status"], volume["attach_status"]) != ("in-use", "attached"):
        raise ApiError(
            400,
            "Invalid volume: Invalid input received: Invalid volume: Unable to detach volume. Volume status"
            " must be 'in-use' and attach_status must be 'attached' to detach. (HTTP 400) (Request-ID:"
            f" {call.request_id})",
        )
    cinder.change(call.cloud, volume["id"], status="detaching")
    origin, server, host = call.origin, instance["uuid"], instance["host"]
    records.begin(call.cloud, server, "detach_volume", origin)
    call.effect("volume.detach", volume["id"], server=server, device=device["device_name"])
    call.cloud.hypervisors.cast(host, lambda: disks.detach(call.cloud, server, volume["id"], host, origin))
    return Reply(202)


def _update(call: Call) -> Reply:
    instance, given = rows.instance(call), call.inner("volumeAttachment")
    device = _device(call, instance["uuid"])
    if given.get("volumeId", device["volume_id"]) != device["volume_id"]:
        raise ApiError(409, "The simulated cloud swaps no volumes; detach one and attach the other.")
    wanted = bool(given.get("delete_on_termination"))
    call.cloud.nova.update("block_device_mapping", {"id": device["id"]}, delete_on_termination=wanted)
    call.effect("volume.attachment.update", device["volume_id"], delete_on_termination=wanted)
    return Reply(202)


_PATH = "/servers/{server}/os-volume_attachments"
OPERATIONS = (
    Operation("GET", _PATH, _list),
    Operation("POST", _PATH, _attach),
    Operation("GET", f"{_PATH}/{{volume}}", _show),
    Operation("PUT", f"{_PATH}/{{volume}}", _update),
    Operation("DELETE", f"{_PATH}/{{volume}}", _detach),
)
