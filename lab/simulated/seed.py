"""Fill the cloud with servers, volumes and ports, as if they had been there for a while."""

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.cinder import rows as cinder
from stackmend.lab.simulated.furniture import FLAVOR, IMAGE, NETWORK, SEGMENT, SUBNET, add_host
from stackmend.lab.simulated.hypervisors import CONTROLLER
from stackmend.lab.simulated.ids import keystone_id, stable_id
from stackmend.lab.simulated.neutron.rows import VIF_DETAILS
from stackmend.lab.simulated.nova import rows as nova
from stackmend.lab.simulated.nova import wishes
from stackmend.lab.simulated.specs import SeedSpec, ServerSpec, VolumeSpec
from stackmend.lab.simulated.times import stamp

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_STATES = {"ACTIVE": ("active", 1), "SHUTOFF": ("stopped", 4), "PAUSED": ("paused", 3), "ERROR": ("error", 0)}


def plant(cloud: "Cloud", spec: SeedSpec) -> dict[str, Any]:
    """Add hosts and servers; {"hosts": [...], "servers", "volumes" and "ports": {name: id}}."""
    with ExitStack() as stack:
        for database in cloud.databases.values():
            stack.enter_context(database.transaction())
        hosts = [add_host(cloud, number + 1) for number in range(spec.hosts)]
        planter = _Planter(cloud, hosts)
        for place, server in enumerate(spec.servers):
            planter.server(server, server.host or hosts[place % len(hosts)])
    return {"hosts": hosts, "servers": planter.servers, "volumes": planter.volumes, "ports": planter.ports}


class _Planter:
    def __init__(self, cloud: "Cloud", hosts: list[str]) -> None:
        self._cloud = cloud
        self._nodes = {row["host"]: row for row in cloud.nova.all("SELECT host, id, uuid FROM compute_nodes")}
        self.servers: dict[str, str] = {}
        self.volumes: dict[str, str] = {}
        self.ports: dict[str, str] = {}
        missing = [host for host in hosts if host not in self._nodes]
        assert not missing, missing

    def server(self, spec: ServerSpec, host: str) -> None:
        cloud, server = self._cloud, stable_id("server", spec.name)
        project = cloud.identity.add_project(spec.project)
        if spec.project != "demo":
            cloud.identity.grant("member", spec.project, "member", "reader")
        self.servers[spec.name] = server
        self._instance(spec, server, host, project)
        for key, value in spec.metadata.items():
            nova.set_metadata(cloud, server, key, value)
        wishes.keep(cloud, server, spec.image_properties, spec.extra_specs)
        address = self._port(spec, server, host, project)
        cloud.hypervisors.guests.define(
            server, host, running=spec.status in ("ACTIVE", "PAUSED"), ssh=spec.ssh, address=address
        )
        self._allocate(spec, server, host, project)
        self._root(spec, server, host, project)
        for place, volume in enumerate(spec.volumes):
            self._volume(spec, server, host, project, volume, place)
        if spec.group:
            self._join(spec.group, server, project)

    def _instance(self, spec: ServerSpec, server: str, host: str, project: str) -> None:
        vm_state, power_state = _STATES[spec.status]
        self._cloud.nova.insert(
            "instances",
            created_at=stamp(),
            updated_at=stamp(),
            launched_at=stamp(),
            user_id=keystone_id("user", "member"),
            project_id=project,
            image_ref=self._image(spec) if spec.root == "image" else "",
            kernel_id="",
            ramdisk_id="",
            launch_index=0,
            power_state=power_state,
            vm_state=vm_state,
            memory_mb=512,
            vcpus=1,
            hostname=spec.name,
            host=host,
            node=host,
            compute_id=self._nodes[host]["id"],
            launched_on=host,
            reservation_id=f"r-{server[:8]}",
            display_name=spec.name,
            availability_zone="nova",
            locked=False,
            instance_type_id=FLAVOR["id"],
            uuid=server,
            root_device_name="/dev/vda",
            config_drive="",
            progress=0,
            root_gb=1,
            ephemeral_gb=0,
            cleaned=0,
            hidden=False,
            deleted=0,
        )

    def _image(self, spec: ServerSpec) -> str:
        """The image that all share, or one of its own for a server whose image has properties."""
        if not spec.image_properties:
            return IMAGE
        image, lab = stable_id("image", spec.name), self._cloud.lab
        if lab.one("SELECT 1 FROM images WHERE id = ?", image) is None:
            row = {"id": image, "name": spec.name, "size": 1048576, "status": "active"}
            lab.insert("images", **row, properties=json.dumps(spec.image_properties))
        return image

    def _port(self, spec: ServerSpec, server: str, host: str, project: str) -> str:
        cloud = self._cloud
        port = self.ports[spec.name] = stable_id("port", spec.name)
        number = cloud.neutron.insert(
            "standardattributes",
            resource_type="ports",
            created_at=stamp(),
            updated_at=stamp(),
            description="",
            revision_number=4,
        )
        address = f"127.{16 + number // 60000}.{number // 250 % 240}.{number % 250 + 2}"
        cloud.neutron.insert(
            "ports",
            project_id=project,
            id=port,
            name="",
            network_id=NETWORK,
            mac_address="fa:16:3e:" + ":".join(server[place : place + 2] for place in (0, 2, 4)),
            admin_state_up=True,
            status="ACTIVE",
            device_id=server,
            device_owner="compute:nova",
            standard_attr_id=number,
            ip_allocation="immediate",
        )
        cloud.neutron.insert("ipallocations", port_id=port, ip_address=address, subnet_id=SUBNET, network_id=NETWORK)
        cloud.neutron.insert(
            "ml2_port_bindings",
            port_id=port,
            host=host,
            vif_type="ovs",
            vnic_type="normal",
            profile="",
            vif_details=json.dumps(VIF_DETAILS),
            status="ACTIVE",
        )
        cloud.neutron.insert(
            "ml2_port_binding_levels",
            port_id=port,
            host=host,
            level=0,
            driver="openvswitch",
            segment_id=SEGMENT,
        )
        return address

    def _allocate(self, spec: ServerSpec, server: str, host: str, project: str) -> None:
        lab, node = self._cloud.lab, self._nodes[host]
        disk = 1 if spec.root == "image" else 0
        lab.insert("allocations", consumer=server, provider=node["uuid"], vcpu=1, memory_mb=512, disk_gb=disk)
        lab.insert("consumers", uuid=server, generation=1, project_id=project, user_id=keystone_id("user", "member"))

    def _root(self, spec: ServerSpec, server: str, host: str, project: str) -> None:
        if spec.root == "image":
            nova.add_image_disk(self._cloud, server, "/dev/vda", self._image(spec))
            return
        volume = self._make(f"{spec.name}-root", 1, project, bootable=True)
        cinder.set_image_metadata(self._cloud, volume, spec.image_properties)
        self._attach(volume, 1, server, host, "/dev/vda", boot_index=0, delete_on_termination=False)

    def _volume(self, spec: ServerSpec, server: str, host: str, project: str, volume: VolumeSpec, place: int) -> None:
        name = volume.shared or volume.name or f"{spec.name}-vol{place + 1}"
        volume_id = self.volumes.get(name) or self._make(name, volume.size, project, shared=bool(volume.shared))
        device = volume.device or f"/dev/vd{chr(ord('b') + place)}"
        self._attach(
            volume_id,
            volume.size,
            server,
            host,
            device,
            tag=volume.tag,
            delete_on_termination=volume.delete_on_termination,
        )

    def _make(self, name: str, size: int, project: str, *, bootable: bool = False, shared: bool = False) -> str:
        volume = self.volumes[name] = stable_id("volume", name)
        self._cloud.cinder.insert(
            "volumes",
            created_at=stamp(),
            deleted=False,
            id=volume,
            user_id=keystone_id("user", "member"),
            project_id=project,
            host=f"{CONTROLLER}@fake1#fake",
            size=size,
            availability_zone="nova",
            status="available",
            attach_status="detached",
            scheduled_at=stamp(),
            launched_at=stamp(),
            display_name=name,
            volume_type_id=stable_id("type", "multiattach" if shared else "fake"),
            bootable=bootable,
            multiattach=shared,
            shared_targets=False,
            service_uuid=stable_id("cinder-service", f"{CONTROLLER}@fake1"),
            use_quota=True,
        )
        return volume

    def _attach(self, volume: str, size: int, server: str, host: str, device: str, **columns: Any) -> None:
        cloud = self._cloud
        attachment = cinder.reserve(cloud, volume, server, stable_id("attachment", f"{volume}/{server}"))
        cinder.connect(cloud, attachment, host, device)
        cinder.complete(cloud, attachment, volume, server, host, device)
        bdm = stable_id("bdm", f"{volume}/{server}")
        nova.add_device(cloud, server, volume, size, device, **{"attachment_id": attachment, "uuid": bdm, **columns})

    def _join(self, group: str, server: str, project: str) -> None:
        name, _, policy = group.partition("=")
        lab, uuid = self._cloud.lab, stable_id("group", name)
        lab.write(
            "INSERT OR IGNORE INTO server_groups VALUES (?, ?, ?, ?, ?)",
            uuid,
            name,
            policy or "soft-anti-affinity",
            project,
            keystone_id("user", "member"),
        )
        lab.insert("group_members", group_uuid=uuid, instance_uuid=server)
