"""A cloud in which nothing is wrong: what planned work begins with."""

from typing import Any

from desk import Desk, Ended, MakeDesk
from waiting import until

from stackmend.clients import reads
from stackmend.clients.cloud import ApiCall, Cloud

AGENT = "neutron-openvswitch-agent"
QUICK = ("--verify-timeout", "10")
FLEET: dict[str, Any] = {
    "hosts": 3,
    "servers": [
        {"name": "db", "host": "sim-c01", "root": "volume", "volumes": [{"name": "db-data", "tag": "data"}]},
        {"name": "web", "host": "sim-c01", "volumes": [{"name": "web-data"}]},
        {"name": "idle", "host": "sim-c01", "status": "SHUTOFF", "volumes": [{"name": "idle-data"}]},
        {"name": "other", "host": "sim-c02"},
    ],
}


def calm(make_desk: MakeDesk, **seed: Any) -> Desk:
    """A desk in front of a cloud whose guests run."""
    found = seed or FLEET
    desk = make_desk(**found)
    desk.cloud.settings(service_down_time=1.0)
    desk.cloud.restore("empty")
    desk.cloud.seed(**found)
    desk.cloud.clear_journal()
    return desk


def hosts(desk: Desk) -> dict[str, str]:
    """Where each server is, as its row tells."""
    names = {value: name for name, value in desk.servers.items()}
    return {names[row["uuid"]]: row["host"] for row in desk.table("nova", "instances") if not row["deleted"]}


def states(desk: Desk) -> dict[str, tuple[str, str | None]]:
    """Each server's vm_state and task_state."""
    names = {value: name for name, value in desk.servers.items()}
    return {
        names[row["uuid"]]: (row["vm_state"], row["task_state"])
        for row in desk.table("nova", "instances")
        if not row["deleted"]
    }


def running(desk: Desk) -> dict[str, list[str]]:
    """On which hosts each server's guest really runs."""
    names = {value: name for name, value in desk.servers.items()}
    found: dict[str, list[str]] = {}
    for guest in desk.cloud.state()["guests"].values():
        if guest["running"]:
            found.setdefault(names[guest["uuid"]], []).append(guest["host"])
    return found


def bound(desk: Desk) -> dict[str, list[tuple[str, str]]]:
    """Where each server's port is bound, and how."""
    names = {value: name for name, value in desk.ports.items()}
    found: dict[str, list[tuple[str, str]]] = {}
    for row in desk.table("neutron", "ml2_port_bindings"):
        found.setdefault(names[row["port_id"]], []).append((row["host"], row["status"]))
    return found


def attached(desk: Desk) -> dict[str, list[str]]:
    """From which hosts each volume is attached, as cinder knows it."""
    names = {value: name for name, value in desk.volumes.items()}
    found: dict[str, list[str]] = {}
    for row in desk.table("cinder", "volume_attachment"):
        if not row["deleted"]:
            found.setdefault(names[row["volume_id"]], []).append(row["attached_host"])
    return found


def sent(desk: Desk, *kinds: str) -> list[tuple[str, str]]:
    """The effects of these kinds, each with its server's name, in order."""
    names = {value: name for name, value in desk.servers.items()}
    return [(item["kind"], names.get(item["target"], item["target"])) for item in desk.cloud.journal(*kinds)]


def ask(desk: Desk, call: ApiCall) -> None:
    """Somebody else's call, as an administrator."""
    cloud = Cloud.connect(desk.environment()["OS_CLOUD"])
    cloud.send(call, "req-00000000-0000-0000-0000-000000000001")
    cloud.close()


def service(host: str) -> dict[str, Any]:
    """A host's nova-compute as nova lists it."""
    cloud = Cloud.connect("sim")
    (found,) = reads.compute_services(cloud, host=host, binary="nova-compute")
    cloud.close()
    return found


def disabled(desk: Desk, host: str, reason: str) -> None:
    """Somebody else keeps the scheduler away from a host."""
    fields = {"status": "disabled", "disabled_reason": reason}
    ask(desk, ApiCall("compute", "PUT", f"/os-services/{service(host)['id']}", fields, "2.53"))
    desk.cloud.clear_journal()


def silent(desk: Desk, host: str, binary: str = "nova-compute") -> None:
    """A process of a host ends, and nova or neutron has noticed."""
    desk.cloud.host(host, "kill", binary=binary)
    cloud = Cloud.connect("sim")

    def noticed() -> bool:
        agents = [row["alive"] for row in reads.network_agents(cloud) if row["host"] == host]
        return not any(agents) if binary == AGENT else service(host)["state"] == "down"

    until(noticed, f"{binary} on {host} counts as dead")
    cloud.close()


def migrate(desk: Desk, *words: str) -> Ended:
    """Type migrate-servers, approved at once."""
    return desk.stackmend("run", "migrate-servers", "--yes", "-f", "json", "--key", "move", *QUICK, *words)
