"""POST /servers: a server is ordered, placed, wired, given its disks and started."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.cinder import rows as cinder
from stackmend.lab.simulated.hypervisors import CONTROLLER
from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.neutron import rows as neutron
from stackmend.lab.simulated.nova import placing, power, records, rows, views, wishes
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp
from stackmend.lab.simulated.web import ApiError, Call, Operation, Origin, Reply

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_ROOT = "/dev/vda"


@dataclass(frozen=True)
class _Order:
    """What a server is to get, found to exist."""

    flavor: Row
    image: str
    host: str | None
    networks: list[Row]
    volumes: list[dict[str, Any]]


def _create(call: Call) -> Reply:
    given = call.inner("server")
    order = _read(call, given)
    server = new_id()
    _insert(call, server, given, order)
    for key, value in (given.get("metadata") or {}).items():
        rows.set_metadata(call.cloud, server, key, str(value))
    group = (call.json().get("OS-SCH-HNT:scheduler_hints") or call.json().get("os:scheduler_hints") or {}).get("group")
    if group:
        _join(call, server, group)
    _map_disks(call, server, order)
    wishes.keep(call.cloud, server, _image_properties(call, order), {})
    records.begin(call.cloud, server, "create", call.origin)
    call.effect("server.create", server, host=order.host)
    call.cloud.background(_place(call.cloud, server, order, call.origin))
    view = {"id": server, "links": views.links(call, server), "OS-DCF:diskConfig": "MANUAL"}
    return Reply(202, {"server": view | {"security_groups": [{"name": "default"}], "adminPass": "simulated"}})


def _read(call: Call, given: dict[str, Any]) -> _Order:
    for name in ("name", "flavorRef"):
        if name not in given:
            raise ApiError(
                400, f"Invalid input for field/attribute server. Value: {given}. '{name}' is a required property"
            )
    flavor = call.cloud.lab.one("SELECT * FROM flavors WHERE flavorid = ?", given["flavorRef"])
    if flavor is None:
        raise ApiError(400, f"Flavor {given['flavorRef']} could not be found.")
    image = given.get("imageRef") or ""
    if image and call.cloud.lab.one("SELECT 1 FROM images WHERE id = ?", image) is None:
        raise ApiError(400, f"Can not find requested image {image}")
    volumes = list(given.get("block_device_mapping_v2") or ())
    return _Order(flavor, image, _host(call, given), _networks(call, given), volumes)


def _host(call: Call, given: dict[str, Any]) -> str | None:
    zone, _, forced = str(given.get("availability_zone") or "").partition(":")
    asked = given.get("host") or forced or None
    if asked is not None and not call.caller.admin:
        rule = "requested_destination" if given.get("host") else "forced_host"
        raise ApiError(403, f"Policy doesn't allow compute:servers:create:{rule} to be performed.")
    if asked is not None and asked not in call.cloud.hypervisors.names():
        raise ApiError(400, f"Compute host {asked} could not be found.")
    if zone not in ("", "nova"):
        raise ApiError(400, "The requested availability zone is not available")
    return asked


def _networks(call: Call, given: dict[str, Any]) -> list[Row]:
    wanted = given.get("networks", "auto")
    if wanted == "none":
        return []
    if wanted == "auto":
        return call.cloud.neutron.all("SELECT * FROM networks LIMIT 1")
    found = [call.cloud.neutron.one("SELECT * FROM networks WHERE id = ?", one.get("uuid")) for one in wanted]
    for one, row in zip(wanted, found, strict=True):
        if row is None:
            raise ApiError(400, f"Network {one.get('uuid')} could not be found.")
    return [row for row in found if row is not None]


def _insert(call: Call, server: str, given: dict[str, Any], order: _Order) -> None:
    call.cloud.nova.insert(
        "instances",
        created_at=stamp(),
        user_id=call.caller.user_id,
        project_id=call.caller.project_id,
        image_ref=order.image,
        kernel_id="",
        ramdisk_id="",
        launch_index=0,
        power_state=0,
        vm_state="building",
        task_state="scheduling",
        memory_mb=order.flavor["memory_mb"],
        vcpus=order.flavor["vcpus"],
        hostname=given["name"],
        reservation_id=f"r-{server[:8]}",
        display_name=given["name"],
        display_description=given.get("description"),
        availability_zone="nova",
        locked=False,
        instance_type_id=order.flavor["id"],
        uuid=server,
        root_device_name=_ROOT,
        config_drive="",
        progress=0,
        root_gb=order.flavor["root_gb"],
        ephemeral_gb=0,
        cleaned=0,
        hidden=False,
        deleted=0,
    )


def _image_properties(call: Call, order: _Order) -> dict[str, str]:
    if order.image:
        return wishes.of_image(call.cloud, order.image)
    root = next((str(disk.get("uuid")) for disk in order.volumes if disk.get("boot_index") == 0), "")
    return cinder.image_metadata(call.cloud, [root]).get(root, {})


def _join(call: Call, server: str, group: str) -> None:
    if call.cloud.lab.one("SELECT 1 FROM server_groups WHERE uuid = ?", group) is None:
        raise ApiError(400, f"Instance group {group} could not be found.")
    call.cloud.lab.insert("group_members", group_uuid=group, instance_uuid=server)


def _map_disks(call: Call, server: str, order: _Order) -> None:
    if order.image:
        rows.add_image_disk(call.cloud, server, _ROOT, order.image)
    for place, disk in enumerate(order.volumes):
        volume = cinder.volume(call.cloud, str(disk.get("uuid")))
        if volume is None:
            raise ApiError(400, f"Block Device Mapping is Invalid: failed to get volume {disk.get('uuid')}.")
        index = int(disk.get("boot_index", -1))
        rows.add_device(
            call.cloud,
            server,
            volume["id"],
            volume["size"],
            _ROOT if index == 0 else f"/dev/vd{chr(ord('a') + place + bool(order.image))}",
            attachment_id=cinder.reserve(call.cloud, volume["id"], server),
            boot_index=index,
            tag=disk.get("tag"),
            delete_on_termination=bool(disk.get("delete_on_termination")),
        )


async def _place(cloud: "Cloud", server: str, order: _Order, origin: Origin) -> None:
    await asyncio.sleep(cloud.settings.schedule_seconds)
    target = placing.choose(cloud, server, order.host, None)
    if target is None:
        with records.event(cloud, server, "conductor_schedule_and_build_instances", CONTROLLER, origin):
            rows.change(cloud, server, vm_state="error", task_state=None)
            records.fault(cloud, server, placing.NO_HOST)
            raise records.Failed(placing.NO_HOST)
        return
    who = rows.find(cloud, server)
    assert who is not None
    cloud.lab.insert("consumers", uuid=server, generation=0, project_id=who["project_id"], user_id=who["user_id"])
    placing.allocate(cloud, server, target, order.flavor["id"])
    cloud.hypervisors.cast(target, lambda: _build(cloud, who, target, order, origin))


async def _build(cloud: "Cloud", row: Row, host: str, order: _Order, origin: Origin) -> None:
    server = row["uuid"]
    async with cloud.hypervisors.lock(server):
        with records.event(cloud, server, "compute__do_build_and_run_instance", host, origin):
            placing.settle(cloud, server, host)
            rows.change(cloud, server, launched_on=host, task_state="networking")
            address = None
            for network in order.networks:
                address = neutron.make_port(
                    cloud, network, row["project_id"], host=host, device_id=server, device_owner="compute:nova"
                )
            rows.change(cloud, server, task_state="block_device_mapping")
            for device in rows.devices(cloud, server):
                cinder.connect(cloud, device["attachment_id"], host, device["device_name"])
                cinder.complete(
                    cloud, device["attachment_id"], device["volume_id"], server, host, device["device_name"]
                )
            rows.change(cloud, server, task_state="spawning")
            await cloud.hypervisors.boot_time(host)
            cloud.hypervisors.guests.define(server, host, running=False, ssh=False, address=address)
            cloud.hypervisors.guests.boot(server, host, "create", origin)
            now = {"vm_state": "active", "power_state": power.RUNNING, "task_state": None, "launched_at": stamp()}
            rows.change(cloud, server, **now)


OPERATIONS = (Operation("POST", "/servers", _create),)
