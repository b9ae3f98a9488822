"""Evidence that a server is back: at nova, at cinder, at neutron."""

from collections.abc import Callable, Mapping
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.poll import Awaited, Poll, Waiting
from stackmend.clients.polls import Polls
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, Seen, Step, Wait
from stackmend.errors import NeedsHands
from stackmend.tasks.servers import RUNNING, present, state_of

Row = dict[str, Any]
# What was found of a row, and what is wrong with it; empty where nothing is.
Wrong = Callable[[Row | None], tuple[Evidence, str]]


def expected(
    server: Mapping[str, Any], vm_state: str, volumes: Mapping[str, str] | None = None, left: str = ""
) -> dict[str, Any]:
    """What VerifyServer is to ask for of a captured server, as plain JSON for a lane's facts.

    ``volumes``: their status by id; where it is not given, all that nova had on it, in use. ``left``: the host that it
    must be gone from, its volumes and ports too. Its ports are as they were.
    """
    if volumes is None:
        volumes = {disk["volume_id"]: "in-use" for disk in server["disks"] if disk["at_nova"]}
    return {
        "vm_state": vm_state,
        "volumes": dict(volumes),
        "ports": {port["id"]: port["status"] for port in server["ports"]},
        "left": left,
    }


class VerifyServer(Wait):
    """The server is as it was captured: state, power, its volumes at both services, its ports bound and up.

    ``wanted`` is its captured record: vm_state, disks (volume ids), ports (ids), and the host that it has ``left``
    if it was moved. Undo: nothing to undo, it
    only reads.
    """

    slug = "server.verify"
    title = "prove it: state and power, volumes at nova and cinder, ports"

    def __init__(self, server: str, wanted: dict[str, Any], seconds: float) -> None:
        super().__init__(server, seconds)
        self.wanted = wanted

    def confirm(self, record: Record, journal: Journal, polls: Polls) -> Evidence:
        """Everything holds before the deadline. Raises NeedsHands naming the first thing that doesn't."""
        return self._proved(self._server_wrong, self._volume_wrong, self._port_wrong, journal, polls)

    def _proved(self, server: Wrong, volume: Wrong, port: Wrong, journal: Journal, polls: Polls) -> Evidence:
        """What was found of the server and of all that hangs on it, once nothing is wrong with any of it."""
        volumes, ports = self.wanted["volumes"], self.wanted["ports"]
        awaited = [
            _right(polls.servers, self.target, server),
            *(_right(polls.volumes, key, volume) for key in volumes),
            *(_right(polls.ports, key, port) for key in ports),
        ]
        try:
            found = journal.wait(self.name, Waiting(awaited, self.seconds))
        except NeedsHands as late:
            raise NeedsHands(f"server {self.target} is not recovered: {late}") from late
        return {"server": found[0], "volumes": found[1 : 1 + len(volumes)], "ports": found[1 + len(volumes) :]}

    def _server_wrong(self, row: Row | None) -> tuple[Evidence, str]:
        row = present(row, self.target)
        found = state_of(row)
        listed = {item["id"] for item in row.get("os-extended-volumes:volumes_attached") or []}
        missing = set(self.wanted["volumes"]) - listed
        if found["task_state"] is not None or found["vm_state"] != self.wanted["vm_state"]:
            return (
                found,
                f"it is {found['vm_state']} (task {found['task_state']}), not {self.wanted['vm_state']}",
            )
        if found["vm_state"] == "active" and found["power_state"] != RUNNING:
            return found, f"its power state is {found['power_state']}, not running"
        if missing:
            return found, f"nova lists no volume {', '.join(sorted(missing))} on it"
        return found, ""

    def _volume_wrong(self, row: Row | None) -> tuple[Evidence, str]:
        if row is None:
            return {}, "one of its volumes no longer exists"
        mine = [item for item in row["attachments"] if item["server_id"] == self.target]
        found = {
            "id": row["id"],
            "status": row["status"],
            "attachment_id": mine[0].get("attachment_id") if mine else None,
        }
        if not mine:
            return found, f"cinder has no attachment of volume {row['id']} to it (status {row['status']})"
        if self._left(mine[0].get("host_name")):
            return found, f"cinder has volume {row['id']} attached on {mine[0]['host_name']} still"
        # A volume in another's hands (backup, retype, deletion) keeps the status that the plan left it in.
        if row["status"] != self.wanted["volumes"][row["id"]]:
            return found, f"volume {row['id']} is {row['status']}, not {self.wanted['volumes'][row['id']]}"
        return found, ""

    def _port_wrong(self, row: Row | None) -> tuple[Evidence, str]:
        if row is None:
            return {}, "one of its ports no longer exists"
        found = {"id": row["id"], "status": row["status"], "host": row.get("binding:host_id")}
        if self._left(found["host"]):
            return found, f"port {row['id']} is bound on {found['host']} still"
        if row.get("binding:vif_type") in ("binding_failed", "unbound"):
            return found, f"port {row['id']} is not bound ({row['binding:vif_type']}) on {found['host']}"
        if (
            row["status"] != "ACTIVE"
            and self.wanted["vm_state"] == "active"
            and self.wanted["ports"][row["id"]] == "ACTIVE"
        ):
            return (
                found,
                f"port {row['id']} is {row['status']} on {found['host']}: is the L2 agent there alive?",
            )
        return found, ""

    def _left(self, host: str | None) -> bool:
        return bool(host) and host == self.wanted.get("left")


def _right(poll: Poll, key: str, wrong: Wrong) -> Awaited:
    """A row, waited for until nothing is wrong with it."""

    def right(row: Row | None) -> Evidence | None:
        found, why = wrong(row)
        return None if why else found

    return Awaited(poll, key, right, lambda row: wrong(row)[1])


class Leftovers(Step):
    """What the recovery left behind, as a list: nothing is changed. Undo: nothing to undo."""

    slug = "cloud.leftovers"
    title = "look for leftovers: attachments and states that agree with nobody"
    reads_only = True

    def __init__(self, cloud_name: str, servers: dict[str, list[str]]) -> None:
        super().__init__(cloud_name)
        self.servers = servers

    def observe(self, record: Record, cloud: Cloud) -> Seen:
        """Compare nova's and cinder's whole lists, read once, for every server of the plan."""
        found: list[str] = []
        rows = {row["id"]: row for row in reads.servers(cloud)}
        for volume in reads.volumes(cloud):
            for item in volume["attachments"]:
                if volume["id"] not in self.servers.get(item["server_id"], [volume["id"]]):
                    found.append(f"cinder has volume {volume['id']} on server {item['server_id']}; the capture has not")
        for server, volumes in self.servers.items():
            row = rows.get(server)
            listed = {item["id"] for item in (row or {}).get("os-extended-volumes:volumes_attached") or []}
            found += [f"nova lists no volume {volume} on server {server}" for volume in set(volumes) - listed]
            found += [
                f"nova lists volume {volume} on server {server}; the capture does not"
                for volume in listed - set(volumes)
            ]
            if row and row.get("OS-EXT-STS:task_state"):
                found.append(f"server {server} still has task {row['OS-EXT-STS:task_state']}")
        return Done({"servers": len(self.servers), "leftovers": found})
