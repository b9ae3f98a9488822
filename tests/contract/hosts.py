"""Short words for hosts: their service, their switches, what placement and nova's records say."""

from typing import Any

import requests
from contract.cloud import Cloud
from waiting import until


def service(cloud: Cloud, host: str) -> dict[str, Any]:
    """The nova-compute service of a host."""
    (found,) = cloud.nova("GET", f"/os-services?host={host}&binary=nova-compute").json()["services"]
    return dict(found)


def switch(cloud: Cloud, host: str, **changes: Any) -> requests.Response:
    """PUT changes to the nova-compute service of a host."""
    return cloud.nova("PUT", f"/os-services/{service(cloud, host)['id']}", changes)


def force_down(cloud: Cloud, host: str, *, down: bool = True) -> requests.Response:
    """Force a host down, or up again."""
    return switch(cloud, host, forced_down=down)


def provider(cloud: Cloud, host: str) -> str:
    """The id of the resource provider of a host."""
    (found,) = cloud.placement("GET", f"/resource_providers?name={host}").json()["resource_providers"]
    return str(found["uuid"])


def allocations(cloud: Cloud, server: str) -> set[str]:
    """The hosts on whose providers a server holds an allocation."""
    held = cloud.placement("GET", f"/allocations/{server}").json()["allocations"]
    return {host for host in cloud.hosts if provider(cloud, host) in held}


def migrations(cloud: Cloud, server: str) -> list[dict[str, Any]]:
    """The migration records of a server, newest first."""
    return list(cloud.nova("GET", f"/os-migrations?instance_uuid={server}").json()["migrations"])


def migration(cloud: Cloud, server: str) -> dict[str, Any]:
    """The newest migration record of a server."""
    return migrations(cloud, server)[0]


def follow(cloud: Cloud, server: str, action: dict[str, Any], *ends: str) -> dict[str, Any]:
    """Order a move, which is taken, and wait until its own record has one of these statuses.

    A live migration's record may come after the answer.
    """
    known = [record["id"] for record in migrations(cloud, server)]
    assert cloud.act(server, action).status_code == 202

    def ended() -> dict[str, Any] | None:
        new = [record for record in migrations(cloud, server) if record["id"] not in known]
        return new[0] if new and new[0]["status"] in ends else None

    record = until(ended, f"the move of {server} has ended as one of {ends}", 60)
    assert record is not None
    return record


def agent(cloud: Cloud, host: str) -> dict[str, Any]:
    """The L2 agent of a host."""
    (found,) = cloud.neutron("GET", f"/agents?host={host}&binary=neutron-openvswitch-agent").json()["agents"]
    return dict(found)


def bring_back(cloud: Cloud, host: str) -> None:
    """Give the host power, and force it up once it has cleaned up."""
    cloud.lab.host(host, "power-on")
    until(lambda: force_down(cloud, host, down=False).status_code == 200, "the host is forced up", 90)
    until(lambda: service(cloud, host)["state"] == "up", "the host is up")
