"""OpenStack's own client, as the judge: what it shows is the state of the cloud, whatever stackmend believes."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any


class Judge:
    """The ``openstack`` command of the cloud's own release, asked many things in one process."""

    def __init__(self, client: str, environment: Mapping[str, str]) -> None:
        self._client = client
        self._environment = {**environment, "OS_COMPUTE_API_VERSION": "2.90", "OS_VOLUME_API_VERSION": "3.60"}

    def ask(self, *commands: str) -> list[Any]:
        """The answers to these commands, each with ``-f json``, in order."""
        lines = "".join(f"{command} -f json\n" for command in commands)
        told = subprocess.run(
            [self._client], input=lines, env=self._environment, capture_output=True, text=True, check=False, timeout=300
        )
        # Its exit status says nothing here: one answer for each command does.
        found = _documents(told.stdout)
        assert len(found) == len(commands), f"{told.stderr}\n{told.stdout[-2000:]}"
        return found

    def state(self, servers: Sequence[str]) -> dict[str, Any]:
        """These servers with their volumes, ports and allocations, at nova, cinder, neutron and placement.

        Without what is new of an attachment that was made again: its id and the mapping's.
        """
        volumes = [f"server volume list {server}" for server in servers]
        held = [f"resource provider allocation show {server}" for server in servers]
        whole = ["server list --all-projects --long", "volume list --all-projects --long", "port list --long"]
        listed, disks, ports, *each = self.ask(*whole, *volumes, *held)
        mine = {row["ID"]: row for row in listed if row["ID"] in servers}
        on = dict(zip(servers, each[: len(servers)], strict=True))
        return {
            "servers": {server: _server(mine[server]) for server in servers},
            "mapped": {server: sorted((_kept(row, _MAPPED) for row in on[server]), key=str) for server in servers},
            "volumes": {row["ID"]: _volume(row) for row in disks if _attached(row) & set(servers)},
            "ports": {row["ID"]: _kept(row, _PORT) for row in ports if row["Fixed IP Addresses"]},
            "allocations": {
                server: [_kept(row, _HELD) for row in rows]
                for server, rows in zip(servers, each[len(servers) :], strict=True)
            },
        }

    def places(self, servers: Mapping[str, str], hosts: Sequence[str]) -> dict[str, Any]:
        """Where these servers (ids by name) are at nova, cinder, neutron and placement: see ``standing``."""
        bound = [f"port list --host {host}" for host in hosts]
        mine = [f"port list --server {server}" for server in servers.values()]
        held = [f"resource provider allocation show {server}" for server in servers.values()]
        whole = ["server list --all-projects --long", "volume list --all-projects --long", "resource provider list"]
        listed, disks, providers, *each = self.ask(*whole, *bound, *mine, *held)
        rows = {row["ID"]: row for row in listed}
        names = {row["uuid"]: row["name"] for row in providers}
        on = {port["ID"]: host for host, ports in zip(hosts, each, strict=False) for port in ports}
        ports, allocations = each[len(hosts) : len(hosts) + len(mine)], each[len(hosts) + len(mine) :]
        return {
            name: {
                "host": rows[server]["Host"],
                "status": rows[server]["Status"],
                "task": rows[server]["Task State"],
                "volumes": {row["Name"]: found for row in disks if (found := _hung(row, server))},
                "ports": [(port["Status"], on.get(port["ID"])) for port in ports[number]],
                "held_on": sorted(names[row["resource_provider"]] for row in allocations[number]),
            }
            for number, (name, server) in enumerate(servers.items())
        }

    def moves(self, servers: Mapping[str, str], host: str) -> dict[str, list[tuple[str, str, str, str]]]:
        """Nova's records of migrations of these servers from or to a host: type, source, target, status; oldest first.

        A server without any is left out.
        """
        (rows,) = self.ask(f"server migration list --host {host}")
        names, found = {server: name for name, server in servers.items()}, dict[str, list[tuple[str, str, str, str]]]()
        for row in sorted(rows, key=lambda row: int(row["Id"])):
            told = (row["Type"], row["Source Compute"], row["Dest Compute"], row["Status"])
            found.setdefault(names[row["Server UUID"]], []).append(told)
        return found

    def events(self, server: str, action: str) -> list[dict[str, Any]]:
        """Every action of one kind that nova was asked for, oldest first."""
        (events,) = self.ask(f"server event list {server}")
        return sorted((row for row in events if row["Action"] == action), key=lambda row: str(row["Start Time"]))

    def reboots(self, server: str) -> list[dict[str, Any]]:
        """Every reboot that nova was asked for, oldest first."""
        return self.events(server, "reboot")

    def used(self, host: str) -> dict[str, int]:
        """What placement counts as used on a host."""
        (providers,) = self.ask(f"resource provider list --name {host}")
        (rows,) = self.ask(f"resource provider usage show {providers[0]['uuid']}")
        return {row["resource_class"]: row["usage"] for row in rows}

    def compute(self, host: str) -> dict[str, Any]:
        """A host's nova-compute."""
        (rows,) = self.ask(f"compute service list --long --service nova-compute --host {host}")
        return dict(rows[0])


def standing(host: str, volumes: Sequence[str], status: str = "ACTIVE") -> dict[str, Any]:
    """How a server looks that is whole on a host, and nowhere else."""
    return {
        "host": host,
        "status": status,
        "task": None,
        "volumes": {name: ("in-use", [host]) for name in volumes},
        "ports": [("ACTIVE", host)],
        "held_on": [host],
    }


_SERVER = ("Name", "Status", "Task State", "Power State", "Networks", "Host", "Properties")
_MAPPED = ("Volume ID", "Device", "Tag", "Delete On Termination?")
_HELD = ("resource_provider", "resources")
_PORT = ("MAC Address", "Fixed IP Addresses", "Status", "Device Owner")


def _kept(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


def _server(row: Mapping[str, Any]) -> dict[str, Any]:
    # Of a stopped server nova writes "no state" once its host comes back and finds no guest: that is no harm.
    names = _SERVER if row["Status"] == "ACTIVE" else [name for name in _SERVER if name != "Power State"]
    return _kept(row, names)


def _volume(row: Mapping[str, Any]) -> dict[str, Any]:
    attached = sorted((item["server_id"], item["device"], item["host_name"]) for item in row["Attached to"])
    return {**_kept(row, ("Name", "Status", "Size", "Bootable")), "attached": attached}


def _hung(row: Mapping[str, Any], server: str) -> tuple[str, list[str]] | None:
    hosts = sorted(item["host_name"] for item in row["Attached to"] if item["server_id"] == server)
    return (row["Status"], hosts) if hosts else None


def _attached(row: Mapping[str, Any]) -> set[str]:
    return {item["server_id"] for item in row["Attached to"]}


def _documents(text: str) -> list[Any]:
    """JSON documents one after the other."""
    decoder, found, place = json.JSONDecoder(), [], 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        document, place = decoder.raw_decode(text, place)
        found.append(document)
    return found
