"""Typed reads of a cloud, for captures and for verification; every list is read to its end.

Rows are the services' own JSON with the field's raw names, except that secrets are left out: user data of
servers, and passwords in the connection information of attachments.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from stackmend.clients.calls import masked
from stackmend.clients.cloud import PAGE, Cloud
from stackmend.errors import BadInput, Unreachable
from stackmend.texts import once

Row = dict[str, Any]

_SERVERS = ("2.3", "2.26", "2.53", "2.73", "2.96", "2.98")
_SERVER_VOLUMES = ("2.1", "2.70", "2.79", "2.89")
_ACTIONS = ("2.21", "2.51", "2.58", "2.62", "2.84")
_MIGRATIONS = ("2.23", "2.59", "2.80")
# Ids in one request: web servers take a line of 8 KB. And how many are asked for by id at all: more are pages too.
_NAMED_AT_ONCE = 150
_MOST_NAMED = 4 * _NAMED_AT_ONCE


def openstack_time(text: str | None) -> datetime | None:
    """A time as the services write it (ISO 8601, with or without Z or fractions) in UTC; None for nothing.

    Raises BadInput when the text is no time.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text!r} is not a time that OpenStack writes.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def lean(row: Row, names: Iterable[str]) -> Row:
    """What is kept of a row where tens of thousands are kept: what it has of these fields, each text once for all."""
    return {name: once(row[name]) for name in names if name in row}


def servers(
    cloud: Cloud,
    all_projects: bool = True,
    host: str | None = None,
    project: str | None = None,
    changes_since: datetime | None = None,
) -> Iterator[Row]:
    """Servers in full. With ``changes_since`` deleted ones too, as status DELETED.

    A server whose cell is down comes as status UNKNOWN with few fields.
    """
    params = _given(host=host, project_id=project, **{"changes-since": _iso(changes_since)})
    if all_projects:
        params["all_tenants"] = "1"
    for row in cloud.pages("compute", "/servers/detail", "servers", params, cloud.pick("compute", *_SERVERS)):
        yield _without_user_data(row)


def server(cloud: Cloud, server_id: str) -> Row | None:
    """One server in full, or None when there is none."""
    found = cloud.find("compute", f"/servers/{server_id}", microversion=cloud.pick("compute", *_SERVERS))
    return None if found is None else _without_user_data(found["server"])


def server_attachments(cloud: Cloud, server_id: str) -> list[Row]:
    """The volumes that nova has attached to a server (its BDMs); attachment_id and bdm_uuid from 2.89 on."""
    version = cloud.pick("compute", *_SERVER_VOLUMES)
    found = cloud.get("compute", f"/servers/{server_id}/os-volume_attachments", microversion=version)
    return list(found["volumeAttachments"])


def server_actions(cloud: Cloud, server_id: str) -> list[Row]:
    """What was done to a server, newest first; of a deleted server too."""
    version, path = cloud.pick("compute", *_ACTIONS), f"/servers/{server_id}/os-instance-actions"
    return list(cloud.pages("compute", path, "instanceActions", microversion=version))


def server_action(cloud: Cloud, server_id: str, request_id: str) -> Row | None:
    """One action with its events, by the request id that nova answered; None when nova has none."""
    version = cloud.pick("compute", *_ACTIONS)
    path = f"/servers/{server_id}/os-instance-actions/{request_id}"
    found = cloud.find("compute", path, microversion=version)
    return None if found is None else dict(found["instanceAction"])


def migrations(cloud: Cloud, changes_since: datetime | None = None, **filters: str) -> Iterator[Row]:
    """Migrations and evacuations; filters as nova names them (instance_uuid, host, source_compute, ...)."""
    params = _given(**filters, **{"changes-since": _iso(changes_since)})
    version = cloud.pick("compute", *_MIGRATIONS)
    yield from cloud.pages("compute", "/os-migrations", "migrations", params, version)


def compute_services(cloud: Cloud, host: str | None = None, binary: str | None = None) -> list[Row]:
    """Nova's services: host, binary, state, status, forced_down, updated_at."""
    version = cloud.pick("compute", "2.11", "2.53")
    found = cloud.get("compute", "/os-services", _given(host=host, binary=binary), version)
    return list(found["services"])


def hypervisors(cloud: Cloud) -> list[Row]:
    """Compute nodes with their capacity, as nova counts it (2.53, the last form that counts)."""
    version = cloud.pick("compute", "2.33", "2.53")
    return list(cloud.pages("compute", "/os-hypervisors/detail", "hypervisors", microversion=version))


def aggregates(cloud: Cloud) -> list[Row]:
    """Host aggregates: name, hosts, metadata, availability zone."""
    return list(cloud.get("compute", "/os-aggregates")["aggregates"])


def server_groups(cloud: Cloud) -> list[Row]:
    """Server groups of all projects, with members and policy."""
    version = cloud.pick("compute", "2.13", "2.64")

    def after(_last: str, so_far: int) -> Row:
        return {"offset": so_far}

    params = {"all_projects": "True"}
    return list(_until_empty(cloud, "compute", "/os-server-groups", "server_groups", params, version, after))


def volumes(cloud: Cloud, updated_since: datetime | None = None) -> Iterator[Row]:
    """Volumes of all projects in full; ``updated_since`` needs block storage 3.60."""
    wanted = ("3.60", "3.70") if updated_since else ("3.0", "3.27", "3.60", "3.70")
    version = cloud.pick("block-storage", *wanted)
    params = {"all_tenants": "1"}
    if updated_since:
        params["updated_at"] = f"gte:{_iso(updated_since)}"
    yield from cloud.pages("block-storage", "/volumes/detail", "volumes", params, version)


def volume(cloud: Cloud, volume_id: str) -> Row | None:
    """One volume in full, or None when there is none."""
    version = cloud.pick("block-storage", "3.0", "3.27", "3.60", "3.70")
    found = cloud.find("block-storage", f"/volumes/{volume_id}", microversion=version)
    return None if found is None else dict(found["volume"])


def attachments(cloud: Cloud) -> Iterator[Row]:
    """Cinder's attachments of all projects in full (block storage 3.27); passwords are masked."""
    version = cloud.pick("block-storage", "3.27")

    def after(last: str, _so_far: int) -> Row:
        return {"marker": last}

    params = {"all_tenants": "1"}
    rows = _until_empty(cloud, "block-storage", "/attachments/detail", "attachments", params, version, after)
    yield from map(masked, rows)


def image(cloud: Cloud, image_id: str) -> Row | None:
    """One image with its properties beside its other fields (image API v2), or None when there is none."""
    found = cloud.find("image", f"/images/{image_id}")
    return None if found is None else dict(found)


def volume_attachments(cloud: Cloud, volume_id: str) -> list[Row]:
    """A volume's attachments, those that are only reserved too: id, status, instance (block storage 3.27)."""
    version = cloud.pick("block-storage", "3.27")
    params = {"all_tenants": "1", "volume_id": volume_id}
    return list(cloud.get("block-storage", "/attachments", params, version)["attachments"])


def port_bindings(cloud: Cloud, port_id: str) -> list[Row] | None:
    """Every binding of a port, active or not: host, status, vif_type; None where neutron shows none."""
    found = cloud.find("network", f"/ports/{port_id}/bindings")
    return None if found is None else list(found["bindings"])


def volume_services(cloud: Cloud) -> list[Row]:
    """Cinder's services: host, binary, state, status, updated_at."""
    version = cloud.pick("block-storage", "3.0", "3.7")
    return list(cloud.get("block-storage", "/os-services", microversion=version)["services"])


def ports(cloud: Cloud, changed_since: datetime | None = None, **filters: str) -> Iterator[Row]:
    """Ports of all projects with their bindings; filters as neutron names them (device_id, ...).

    Where neutron keeps no time stamps, ``changed_since`` gives every port.
    """
    params = _given(**filters)
    if changed_since and cloud.find("network", "/extensions/timestamp"):
        params["changed_since"] = _iso(changed_since)
    yield from cloud.pages("network", "/ports", "ports", params)


def ports_of(cloud: Cloud, ids: Collection[str], by: str = "id") -> Iterator[Row]:
    """The ports with these ids (of their servers: ``by`` device_id); where ids are very many, all that there are."""
    if len(ids) > _MOST_NAMED:
        yield from ports(cloud)
        return
    named = sorted(ids)
    for start in range(0, len(named), _NAMED_AT_ONCE):
        some = named[start : start + _NAMED_AT_ONCE]
        yield from cloud.pages("network", "/ports", "ports", {by: some})


def network_agents(cloud: Cloud) -> list[Row]:
    """Neutron's agents: host, binary, alive, admin_state_up, heartbeat_timestamp."""
    return list(cloud.pages("network", "/agents", "agents"))


def projects(cloud: Cloud) -> list[Row]:
    """Every project that identity shows this user."""
    return list(cloud.pages("identity", "/projects", "projects"))


def allocations(cloud: Cloud, consumer_id: str) -> Row:
    """What a consumer (a server) holds in placement: ``allocations`` by provider, and its generation."""
    version = cloud.pick("placement", "1.0", "1.12", "1.28")
    return dict(cloud.get("placement", f"/allocations/{consumer_id}", microversion=version))


def capacity(cloud: Cloud) -> dict[str, dict[str, int]]:
    """What each compute host has free in placement, by host name and resource class (1.12).

    One list of what any host could still take of the smallest server. Hosts that are full are not in it.
    """
    return _capacity(cloud, providers_by_host(cloud))


def room(cloud: Cloud, sources: Collection[str]) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    """``capacity``, and ``allocations_on`` all of these hosts: their providers are read once."""
    known = providers_by_host(cloud)
    held = _allocations_of(cloud, [provider for host in sorted(sources) for provider in known.get(host, ())])
    return _capacity(cloud, known), held


def _capacity(cloud: Cloud, known: Mapping[str, Collection[str]]) -> dict[str, dict[str, int]]:
    version = cloud.pick("placement", "1.12", "1.29")
    found = cloud.get("placement", "/allocation_candidates", {"resources": "VCPU:1,MEMORY_MB:1"}, version)
    hosts = {provider: host for host, providers in known.items() for provider in providers}
    free: dict[str, Counter[str]] = {}
    for provider, summary in found["provider_summaries"].items():
        if provider in hosts:
            room = free.setdefault(hosts[provider], Counter())
            for name, amount in summary["resources"].items():
                room[name] += amount["capacity"] - amount["used"]
    return {host: dict(room) for host, room in free.items()}


def providers_by_host(cloud: Cloud) -> dict[str, list[str]]:
    """The resource providers of each compute host: placement knows them by their node's name, which may differ."""
    rows = cloud.get("placement", "/resource_providers")["resource_providers"]
    providers = {row["name"]: str(row["uuid"]) for row in rows}
    found: dict[str, list[str]] = {}
    for row in hypervisors(cloud):
        if row["hypervisor_hostname"] in providers:
            found.setdefault(row["service"]["host"], []).append(providers[row["hypervisor_hostname"]])
    return found


def allocations_on(cloud: Cloud, host: str) -> dict[str, dict[str, int]]:
    """What every consumer (server) holds on a compute host, by its id and resource class."""
    return _allocations_of(cloud, providers_by_host(cloud).get(host, ()))


def _allocations_of(cloud: Cloud, providers: Iterable[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for provider in providers:
        held = cloud.get("placement", f"/resource_providers/{provider}/allocations")["allocations"]
        found.update({consumer: dict(row["resources"]) for consumer, row in held.items()})
    return found


def _until_empty(
    cloud: Cloud,
    service: str,
    path: str,
    key: str,
    params: dict[str, Any],
    version: str,
    after: Callable[[str, int], Row],
) -> Iterator[Row]:
    """A list of a service that pages without links: only an empty page is surely the last.

    ``after`` says what asks for the page behind the row of that id, which was the so many-th.
    """
    query = {"limit": PAGE, **params}
    seen: set[str] = set()
    so_far = 0
    while found := cloud.get(service, path, query, version)[key]:
        if not {row["id"] for row in found} - seen:
            raise Unreachable(f"{service} sends {path} round in circles: a page came twice.")
        seen.update(row["id"] for row in found)
        last, so_far = found[-1]["id"], so_far + len(found)
        yield from found
        query |= after(last, so_far)


def _given(**params: str | None) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _without_user_data(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "OS-EXT-SRV-ATTR:user_data"}
