"""What servers have left on a host that they are no longer on: looked for before it is swept. It reads only."""

from collections.abc import Collection, Mapping
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud

Row = dict[str, Any]
_ENDED_BADLY = frozenset(["error", "failed", "cancelled"])
# Nova-compute itself removes what these have left, when it starts.
_NOVAS_OWN = frozenset(["accepted", "pre-migrating", "done"])


def capture(cloud: Cloud, host: str, here: Collection[str]) -> Row:
    """Allocations and inactive port bindings on the host; ``here``: the servers that nova has on it.

    ``allocations``: of servers that are elsewhere, and hold something there too. ``odd``: a sentence for each
    that must be looked at by a person. ``bindings``: ports' inactive bindings, left by live migrations.
    """
    migrations = list(reads.migrations(cloud, host=host))
    cleaned = {
        row["instance_uuid"]
        for row in migrations
        if (row["migration_type"], row["source_compute"]) == ("evacuation", host) and row["status"] in _NOVAS_OWN
    }
    strays = set(reads.allocations_on(cloud, host)) - set(here) - cleaned
    allocations, odd = _allocations(cloud, host, strays)
    failed = {
        row["instance_uuid"]
        for row in migrations
        if row["migration_type"] == "live-migration" and row["status"] in _ENDED_BADLY
    }
    return {"allocations": allocations, "odd": odd, "bindings": _bindings(cloud, host, failed - set(here))}


def _allocations(cloud: Cloud, host: str, consumers: Collection[str]) -> tuple[list[Row], list[str]]:
    if not consumers:
        return [], []
    providers, found, odd = reads.providers_by_host(cloud)[host], [], []
    for consumer in sorted(consumers):
        server, held = reads.server(cloud, consumer), reads.allocations(cloud, consumer)
        if server is None:
            odd.append(
                f"{consumer} holds something on {host} and is no server: `nova-manage placement audit` tells more"
            )
        elif _moves(server):
            odd.append(f"server {server['name']} holds something on {host} and is being moved: left alone")
        elif set(held["allocations"]) <= set(providers):
            odd.append(
                f"server {server['name']} is on {server['OS-EXT-SRV-ATTR:host']} and holds only what it has on {host}: "
                f"`nova-manage placement heal_allocations --instance {consumer} --force`"
            )
        else:
            (provider, *_) = [provider for provider in providers if provider in held["allocations"]]
            found.append({"server": consumer, "name": server["name"], "provider": provider, "held": held})
    return found, odd


def _bindings(cloud: Cloud, host: str, servers: Collection[str]) -> list[Row]:
    found = []
    for server in sorted(servers):
        for port in reads.ports(cloud, device_id=server):
            rows = reads.port_bindings(cloud, port["id"]) or []
            if any((row["host"], row["status"]) == (host, "INACTIVE") for row in rows):
                found.append({"port": port["id"], "server": server})
    return found


def _moves(server: Mapping[str, Any]) -> bool:
    return bool(server["OS-EXT-STS:task_state"]) or server["OS-EXT-STS:vm_state"] == "resized"
