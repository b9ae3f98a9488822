"""What is known of one compute host before it is touched: its service, its peers, its room. It reads only."""

from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.fencing import Fences
from stackmend.errors import BadInput, HostUnreachable
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
    free, held = reads.room(cloud, [host])
    return {
        "host": host,
        "computes": {name: {key: row.get(key) for key in _KEPT} for name, row in computes.items()},
        "free": free,
        "held": held,
        "evacuate_version": cloud.pick("compute", *VERSIONS),
    }


def power(fences: Fences, host: str) -> Row:
    """The host's fence agent, and what it reads of the host's power: ``on``, ``off``, or why it can't tell.

    Raises BadInput for an agent that can't be run at all.
    """
    agent = fences.agent(host)
    if not agent:
        return {"fence_agent": "", "power": "", "power_why": ""}
    try:
        return {"fence_agent": agent, "power": fences.power(host), "power_why": ""}
    except HostUnreachable as error:
        return {"fence_agent": agent, "power": "", "power_why": str(error)}


def node(cloud: Cloud, host: str) -> str | None:
    """The id of the host's hypervisor; the first where it has several, for all answer alike."""
    found = [row["id"] for row in reads.hypervisors(cloud) if row["service"]["host"] == host]
    return str(found[0]) if found else None
