"""Which servers a procedure is asked for, by id, by name, or as EC2 called them (``i-000015b9``)."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.errors import BadInput

Row = dict[str, Any]
_INSTANCE_NAME = re.compile(r"instance-([0-9a-f]{8})")


def names_of(server: Mapping[str, Any]) -> set[str]:
    """What an operator may call a server, as nova lists it or as it was captured.

    The id that EC2 knew it by is the number in the hypervisor's name for it (operations guide, "Total compute node
    failure"), where nova names guests as it does by default.
    """
    given = server.get("instance_name") or server.get("OS-EXT-SRV-ATTR:instance_name")
    found = _INSTANCE_NAME.fullmatch(given or "")
    return {server["id"], server["name"], *([f"i-{found[1]}"] if found else [])}


@dataclass(frozen=True)
class Scope:
    """Which servers: all, or those named (id or name), on hosts, of projects; less those excluded."""

    servers: list[str]
    hosts: list[str]
    projects: list[str]
    exclude: list[str]

    def covers(self, row: Row) -> bool:
        """Whether the server, as nova lists it, is to be captured."""
        return self.covered({"host": row.get("OS-EXT-SRV-ATTR:host"), "project": row["tenant_id"], **row})

    def covered(self, server: Row) -> bool:
        """Whether a captured server is in scope."""
        names = names_of(server)
        if names & set(self.exclude):
            return False
        if self.servers and not names & set(self.servers):
            return False
        if self.hosts and server["host"] not in self.hosts:
            return False
        return not self.projects or server["project"] in self.projects


def resolved(cloud: Cloud, scope: Scope, found: list[Row]) -> Scope:
    """The scope with project names turned into ids. Raises BadInput for what does not exist."""
    named = Counter(name for row in found for name in names_of(row))
    hosts = {row.get("OS-EXT-SRV-ATTR:host") for row in found}
    for server in [*scope.servers, *scope.exclude]:
        if named[server] != 1:
            many = f"there are {named[server]} servers named {server}, give the id of one:"
            none = f"there is no server {server} in this cloud:"
            raise BadInput(f"{many if named[server] else none} `openstack server list --all-projects` shows them")
    for host in scope.hosts:
        if host not in hosts and host not in {
            row["host"] for row in reads.compute_services(cloud, binary="nova-compute")
        }:
            raise BadInput(
                f"there is no compute host {host} in this cloud: `openstack compute service list` shows them"
            )
    if not scope.projects:
        return scope
    known = {name: row["id"] for row in reads.projects(cloud) for name in (row["id"], row["name"])}
    for project in scope.projects:
        if project not in known:
            raise BadInput(f"there is no project {project} in this cloud: `openstack project list` shows them")
    return Scope(scope.servers, scope.hosts, [known[project] for project in scope.projects], scope.exclude)
