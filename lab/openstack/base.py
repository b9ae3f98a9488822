"""What a clean lab has in it: users and endpoints, and the flavors, image, network and volume type to begin with."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from openstack.config import OpenStackConfig
from openstack.connection import Connection

from stackmend.lab.openstack.services import EXTRAS
from stackmend.lab.openstack.services.base import Service
from stackmend.lab.openstack.site import PASSWORD, REGION, Site

FLAVORS = {"tiny": (64, 1), "tiny2": (128, 2)}
IMAGE, NETWORK, SUBNET, VOLUME_TYPE = "dummy", "net1", "sub1", "fake"
_INTERFACES = ("public", "internal", "admin")


@contextmanager
def client(site: Site) -> Iterator[Connection]:
    """A client of the lab that signs in afresh, and so sees the catalogue as it is; from its clouds.yaml alone."""
    with warnings.catch_warnings():
        # openstacksdk warns of its own defaults and calls, whatever one does.
        warnings.simplefilter("ignore")
        config = OpenStackConfig([str(site.clouds_yaml)], load_envvars=False)
        with Connection(config=config.get_one("lab")) as cloud:
            yield cloud


def people(identity: Any, services: Iterable[Service]) -> None:
    """The project and the users of the services, and a project with a member that is no administrator."""
    roles = {role.name: role for role in identity.roles()}
    roles["service"] = roles.get("service") or identity.create_role(name="service")
    project = identity.create_project(name="service", domain_id="default")
    for service in services:
        user = identity.create_user(name=service.name, password=PASSWORD, domain_id="default")
        for role in ("admin", "service"):
            identity.assign_project_role_to_user(project, user, roles[role])
    demo = identity.create_project(name="demo", domain_id="default")
    member = identity.create_user(name="member", password=PASSWORD, domain_id="default")
    identity.assign_project_role_to_user(demo, member, roles["member"])


def catalogue(identity: Any, services: Iterable[Service]) -> None:
    """Services and endpoints; those of the extras are there but not shown until one of them is started."""
    for service in services:
        for endpoint in service.endpoints:
            shown = not isinstance(service, EXTRAS)
            row = identity.create_service(name=endpoint.name, type=endpoint.kind, is_enabled=shown)
            url = service.site.url(service.api) + endpoint.path
            for interface in _INTERFACES:
                identity.create_endpoint(service_id=row.id, interface=interface, url=url, region_id=REGION)


def show(identity: Any, services: Iterable[Service]) -> None:
    """Show in the catalogue just the extras that are among ``services``."""
    shown = {endpoint.name for service in services for endpoint in service.endpoints}
    known = {endpoint.name for kind in EXTRAS for endpoint in kind.endpoints}
    for row in identity.services():
        if row.name in known and row.is_enabled != (row.name in shown):
            identity.update_service(row, is_enabled=row.name in shown)


def resources(cloud: Connection) -> None:
    """Flavors, image, network and volume type."""
    for name, (memory, processors) in FLAVORS.items():
        cloud.compute.create_flavor(name=name, ram=memory, vcpus=processors, disk=1)
    cloud.image.create_image(
        IMAGE, data=bytes(1 << 20), disk_format="raw", container_format="bare", visibility="public"
    )
    network = cloud.network.create_network(name=NETWORK, is_shared=True)
    # Nothing answers DHCP here, and a port would wait for it.
    cloud.network.create_subnet(
        name=SUBNET, network_id=network.id, cidr="10.10.0.0/16", ip_version=4, is_dhcp_enabled=False
    )
    cloud.block_storage.create_type(name=VOLUME_TYPE, extra_specs={"volume_backend_name": "fake"})
