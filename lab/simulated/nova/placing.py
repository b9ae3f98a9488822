"""Which host a server goes to: what a scheduler looks at, and what moves with a server."""

from typing import TYPE_CHECKING

from stackmend.lab.simulated.neutron import rows as neutron
from stackmend.lab.simulated.nova import rows
from stackmend.lab.simulated.nova.services import compute_service, service_is_up
from stackmend.lab.simulated.store import Row

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

NO_HOST = "No valid host was found. There are not enough hosts available."


def up(cloud: "Cloud", host: str) -> bool:
    """True while the nova-compute of a host reports itself and is not forced down."""
    service = compute_service(cloud, host)
    return service is not None and service_is_up(cloud, service)


def usable(cloud: "Cloud", host: str) -> bool:
    """True for a host that takes new servers."""
    service = compute_service(cloud, host)
    return service is not None and not service["disabled"] and up(cloud, host)


def choose(cloud: "Cloud", server: str, asked: str | None, avoid: str | None) -> str | None:
    """The host a server goes to: the one ``asked`` for or the emptiest, if the filters let any through."""
    fit = [
        host
        for host in cloud.hypervisors.names()
        if host != avoid and usable(cloud, host) and _group_allows(cloud, server, host)
    ]
    if asked is not None:
        return asked if asked in fit else None
    return min(fit, key=lambda host: _load(cloud, host), default=None)


def _load(cloud: "Cloud", host: str) -> int:
    """How many servers have room claimed there: those that are on their way too, as nova's scheduler counts."""
    row = cloud.lab.one("SELECT count(*) AS n FROM allocations WHERE provider = ?", node(cloud, host)["uuid"])
    return int(row["n"]) if row else 0


def _group_allows(cloud: "Cloud", server: str, host: str) -> bool:
    group = cloud.lab.one(
        "SELECT g.uuid, g.policy FROM server_groups g JOIN group_members m ON m.group_uuid = g.uuid"
        " WHERE m.instance_uuid = ?",
        server,
    )
    if group is None or group["policy"] not in ("anti-affinity", "affinity"):
        return True
    members = cloud.lab.all(
        "SELECT instance_uuid FROM group_members WHERE group_uuid = ? AND instance_uuid != ?", group["uuid"], server
    )
    taken = {place for row in members if (place := _place(cloud, row["instance_uuid"]))}
    return host not in taken if group["policy"] == "anti-affinity" else not taken or host in taken


def _place(cloud: "Cloud", server: str) -> str | None:
    """Where a server is; one that is only just ordered is where it will be built: two orders may come at once."""
    row = rows.find(cloud, server)
    if row is None or row["host"]:
        return row["host"] if row else None
    claimed = cloud.lab.one("SELECT provider FROM allocations WHERE consumer = ?", server)
    at = claimed and cloud.nova.one("SELECT host FROM compute_nodes WHERE uuid = ?", claimed["provider"])
    return str(at["host"]) if at else None


def node(cloud: "Cloud", host: str) -> Row:
    """The compute node of a host."""
    row = cloud.nova.one("SELECT id, uuid FROM compute_nodes WHERE host = ? AND deleted = 0", host)
    assert row is not None
    return row


def settle(cloud: "Cloud", server: str, host: str) -> None:
    """Write that a server is on ``host`` now."""
    rows.change(cloud, server, host=host, node=host, compute_id=node(cloud, host)["id"])


def move_ports(cloud: "Cloud", server: str, host: str, origin_ids: dict[str, str | None]) -> None:
    """Bind every port of a server to ``host``."""
    for port in cloud.neutron.all("SELECT id FROM ports WHERE device_id = ?", server):
        neutron.bind(cloud, port["id"], host)
        cloud.journal.effect("port.update", port["id"], changes={"binding:host_id": host}, **origin_ids)


def allocate(cloud: "Cloud", server: str, host: str, flavor: int) -> None:
    """Give a server its flavor's resources on the provider of ``host``, beside what it has elsewhere."""
    cloud.lab.write("DELETE FROM allocations WHERE consumer = ? AND provider = ?", server, node(cloud, host)["uuid"])
    cloud.lab.write(
        "INSERT INTO allocations SELECT ?, ?, vcpus, memory_mb, root_gb FROM flavors WHERE id = ?",
        server,
        node(cloud, host)["uuid"],
        flavor,
    )
    _count(cloud, server)


def drop_allocation(cloud: "Cloud", consumer: str, host: str) -> None:
    """Delete a consumer's allocation on the provider of a host."""
    provider = node(cloud, host)["uuid"]
    cloud.lab.write("DELETE FROM allocations WHERE consumer = ? AND provider = ?", consumer, provider)
    _count(cloud, consumer)


def hand_over(cloud: "Cloud", giver: str, taker: str) -> None:
    """While a server moves, its migration holds what it had on the source; and back."""
    cloud.lab.write("UPDATE allocations SET consumer = ? WHERE consumer = ?", taker, giver)
    cloud.lab.write(
        "INSERT OR IGNORE INTO consumers SELECT ?, 0, project_id, user_id FROM consumers WHERE uuid = ?", taker, giver
    )
    _count(cloud, taker)


def _count(cloud: "Cloud", consumer: str) -> None:
    cloud.lab.write("UPDATE consumers SET generation = generation + 1 WHERE uuid = ?", consumer)
    cloud.lab.write(
        "UPDATE providers SET generation = generation + 1 WHERE uuid IN"
        " (SELECT provider FROM allocations WHERE consumer = ?)",
        consumer,
    )
