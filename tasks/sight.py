"""Whether an account sees what a recovery must see.

Nova, placement and most lists say no. Cinder and neutron answer with what the account may see, which may be nothing.
"""

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.errors import Unauthorized


def servers(cloud: Cloud) -> str:
    """That servers of all projects can be read, and the lists about hosts. Raises Unauthorized."""
    found = sum(1 for _ in reads.servers(cloud))
    for look in (reads.hypervisors, reads.aggregates, reads.server_groups, reads.capacity):
        look(cloud)
    next(iter(reads.migrations(cloud)), None)
    return f"{found} servers of all projects can be read"


def volumes(cloud: Cloud) -> str:
    """That the servers' volumes can be read. Raises Unauthorized where none of them is shown."""
    seen = {row["id"] for row in reads.volumes(cloud)}
    hung = {disk["id"] for row in reads.servers(cloud) for disk in row.get("os-extended-volumes:volumes_attached", ())}
    if hung and not hung & seen:
        raise Unauthorized(
            f"cinder shows none of the {len(hung)} volumes that servers have: give this user cinder's context_is_admin"
        )
    return f"{len(seen)} volumes can be read"


def ports(cloud: Cloud) -> str:
    """That the servers' ports can be read, and where they are bound. Raises Unauthorized where none is shown."""
    seen = list(reads.ports(cloud))
    wired = {row["id"] for row in reads.servers(cloud) if row.get("addresses")}
    if wired and not wired & {row["device_id"] for row in seen}:
        raise Unauthorized(
            f"neutron shows no port of the {len(wired)} servers that have addresses: give this user neutron's "
            "context_is_admin, and get_port"
        )
    if seen and not any("binding:host_id" in row for row in seen):
        raise Unauthorized("neutron does not show where ports are bound: give this user get_port:binding:host_id")
    return f"{len(seen)} ports can be read"
