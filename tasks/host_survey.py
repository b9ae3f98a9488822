"""What is known of one compute host before it is touched: its service, its peers, its room. It reads only."""

from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.errors import BadInput
from stackmend.tasks.evacuation import VERSIONS

Row = dict[str, Any]
_KEPT = ("id", "host", "zone", "state", "status", "disabled_reason", "forced_down", "updated_at")


def capture(cloud: Cloud, host: str) -> Row:
    """The host's nova-compute, the others', what each has free, and what the host's servers hold.

    Raises BadInput for a host that nova does not know.
    """
    computes = {row["host"]: row for row in reads.compute_services(cloud, binary="nova-compute")}
    if host not in computes:
        raise BadInput(f"there is no compute host {host} in this cloud: `openstack compute service list` shows them")
    return {
        "host": host,
        "computes": {name: {key: row.get(key) for key in _KEPT} for name, row in computes.items()},
        "free": reads.capacity(cloud),
        "held": reads.allocations_on(cloud, host),
        "evacuate_version": cloud.pick("compute", *VERSIONS),
    }
