"""The services of the lab: a module each, and which of them a lab has."""

from collections.abc import Iterable

from stackmend.errors import BadInput
from stackmend.lab.openstack.services.aodh import Aodh
from stackmend.lab.openstack.services.base import Service
from stackmend.lab.openstack.services.cinder import Cinder
from stackmend.lab.openstack.services.glance import Glance
from stackmend.lab.openstack.services.keystone import Keystone
from stackmend.lab.openstack.services.mariadb import MariaDB
from stackmend.lab.openstack.services.masakari import Masakari
from stackmend.lab.openstack.services.mistral import Mistral
from stackmend.lab.openstack.services.neutron import Neutron
from stackmend.lab.openstack.services.nova import Nova
from stackmend.lab.openstack.services.placement import Placement
from stackmend.lab.openstack.services.rabbitmq import RabbitMQ
from stackmend.lab.openstack.site import Site

# In the order in which they are started where nothing else decides: what others wait for comes first.
CORE: tuple[type[Service], ...] = (Keystone, Placement, Nova, Neutron, Cinder, Glance)
EXTRAS: tuple[type[Service], ...] = (Mistral, Aodh, Masakari)
EXTRA_NAMES = tuple(kind.name for kind in EXTRAS)


def services(site: Site, extras: Iterable[str] = ()) -> list[Service]:
    """The core services and the extras of these names; every service's databases are made in any case."""
    kinds = [*CORE, *(kind for kind in EXTRAS if kind.name in set(extras))]
    databases = [name for kind in (*CORE, *EXTRAS) for name in kind.databases]
    return [MariaDB(site, databases), RabbitMQ(site), *(kind(site) for kind in kinds)]


def extras(given: Iterable[str]) -> tuple[str, ...]:
    """Names of extra services, ``all`` for every one, put in order; BadInput for an unknown name."""
    asked = set(given)
    unknown = asked - {"all", *EXTRA_NAMES}
    if unknown:
        raise BadInput(f"the lab has no service {', '.join(sorted(unknown))}; it has {', '.join(EXTRA_NAMES)}, or all")
    return tuple(name for name in EXTRA_NAMES if "all" in asked or name in asked)
