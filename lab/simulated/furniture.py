"""What a cloud has before any server: controller, network, image, flavor; and its compute hosts."""

import json
from typing import TYPE_CHECKING

from stackmend.lab.simulated.hypervisors import AGENT, COMPUTE, CONTROLLER
from stackmend.lab.simulated.ids import keystone_id, stable_id
from stackmend.lab.simulated.times import stamp

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

NETWORK = stable_id("network", "net1")
SUBNET = stable_id("subnet", "sub1")
SEGMENT = stable_id("segment", "net1")
IMAGE = stable_id("image", "cirros")
FLAVOR = {"id": 1, "flavorid": stable_id("flavor", "small"), "name": "small"}


def furnish(cloud: "Cloud") -> None:
    """What every cloud has before any server: the controller, a network, an image, a flavor, types."""
    now = stamp()
    admin = keystone_id("project", "admin")
    cloud.lab.insert("flavors", **FLAVOR, vcpus=1, memory_mb=512, root_gb=1)
    medium = {"id": 2, "flavorid": stable_id("flavor", "medium"), "name": "medium"}
    cloud.lab.insert("flavors", **medium, vcpus=2, memory_mb=1024, root_gb=1)
    cloud.lab.insert("images", id=IMAGE, name="cirros", size=1048576, status="active")
    cloud.neutron.insert(
        "networks", project_id=admin, id=NETWORK, name="net1", status="ACTIVE", admin_state_up=True, mtu=1450
    )
    cloud.neutron.insert(
        "subnets",
        project_id=admin,
        id=SUBNET,
        name="sub1",
        network_id=NETWORK,
        ip_version=4,
        cidr="127.16.0.0/13",
        gateway_ip="127.16.0.1",
        enable_dhcp=False,
    )
    cloud.neutron.insert("networksegments", id=SEGMENT, network_id=NETWORK, network_type="vxlan", segmentation_id=1189)
    for name in ("fake", "multiattach"):
        cloud.cinder.insert(
            "volume_types",
            created_at=now,
            deleted=False,
            id=stable_id("type", name),
            name=name,
            is_public=True,
        )
    _controller(cloud)


def _controller(cloud: "Cloud") -> None:
    binaries = ("nova-conductor", "nova-scheduler", "cinder-scheduler", "cinder-volume")
    cloud.hypervisors.add_host(CONTROLLER, "127.32.0.1", binaries)
    for binary in binaries:
        if binary.startswith("nova"):
            _nova_service(cloud, CONTROLLER, binary)
        else:
            host = f"{CONTROLLER}@fake1" if binary == "cinder-volume" else CONTROLLER
            cloud.cinder.insert(
                "services",
                created_at=stamp(),
                updated_at=stamp(),
                deleted=False,
                host=host,
                binary=binary,
                topic=binary,
                report_count=1,
                disabled=False,
                availability_zone="nova",
                replication_status="disabled",
                frozen=False,
                uuid=stable_id("cinder-service", host),
            )


def _nova_service(cloud: "Cloud", host: str, binary: str) -> int:
    return cloud.nova.insert(
        "services",
        created_at=stamp(),
        updated_at=stamp(),
        host=host,
        binary=binary,
        topic=binary.removeprefix("nova-"),
        report_count=1,
        disabled=False,
        deleted=0,
        last_seen_up=stamp(),
        forced_down=False,
        version=70,
        uuid=stable_id("nova-service", f"{host}/{binary}"),
    )


def add_host(cloud: "Cloud", number: int) -> str:
    """The name of the compute host of that number, made when there is none."""
    name = f"sim-c{number:02d}"
    if name in cloud.hypervisors.names():
        return name
    cloud.hypervisors.add_host(name, f"127.32.0.{number + 1}", (COMPUTE, AGENT))
    node = stable_id("compute-node", name)
    cloud.nova.insert(
        "compute_nodes",
        created_at=stamp(),
        updated_at=stamp(),
        service_id=_nova_service(cloud, name, COMPUTE),
        vcpus=1000,
        memory_mb=800000,
        local_gb=600000,
        vcpus_used=0,
        memory_mb_used=512,
        local_gb_used=0,
        hypervisor_type="QEMU",
        hypervisor_version=8002000,
        cpu_info='{"arch": "x86_64", "model": "Nehalem", "vendor": "Intel", "features": [], "topology": {}}',
        hypervisor_hostname=name,
        deleted=0,
        host_ip=f"127.32.0.{number + 1}",
        host=name,
        uuid=node,
        mapped=1,
        running_vms=0,
    )
    cloud.lab.insert("providers", uuid=node, name=name, generation=1, vcpus=1000, memory_mb=800000, disk_gb=600000)
    _agent(cloud, name)
    return name


def _agent(cloud: "Cloud", host: str) -> None:
    cloud.neutron.insert(
        "agents",
        id=stable_id("agent", host),
        agent_type="Open vSwitch agent",
        binary=AGENT,
        topic="N/A",
        host=host,
        admin_state_up=True,
        created_at=stamp(),
        started_at=stamp(),
        heartbeat_timestamp=stamp(),
        configurations=json.dumps({"bridge_mappings": {}, "tunnel_types": ["vxlan"], "devices": 0}),
        load=0,
        resources_synced=None,
    )
