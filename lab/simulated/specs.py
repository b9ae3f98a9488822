"""What a seed is made of: servers and volumes in words, and the canned sets of them."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class VolumeSpec:
    """A data volume of a server. ``shared`` names a multiattach volume that several servers list."""

    size: int = 1
    device: str | None = None
    tag: str | None = None
    delete_on_termination: bool = False
    shared: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class ServerSpec:
    """A server; ``root`` is ``image`` or ``volume``, ``status`` ACTIVE, SHUTOFF, PAUSED or ERROR.

    ``group``: a server group's name, or NAME=POLICY where it is not soft-anti-affinity. ``image_properties`` are
    its image's (its root volume's, where it has one), ``extra_specs`` its flavor's.
    """

    name: str
    host: str | None = None
    project: str = "demo"
    status: str = "ACTIVE"
    metadata: dict[str, str] = field(default_factory=dict)
    root: str = "image"
    volumes: tuple[VolumeSpec, ...] = ()
    ssh: bool = False
    group: str | None = None
    image_properties: dict[str, str] = field(default_factory=dict)
    extra_specs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SeedSpec:
    """How many hosts, and which servers on them."""

    hosts: int = 3
    servers: tuple[ServerSpec, ...] = ()


def read(given: dict[str, Any]) -> SeedSpec:
    """A seed out of the control API's words; ValueError says which of them is wrong.

    ``{"canned": "demo"}``, or ``{"hosts": 3, "servers": 9, "volumes_per_server": 1, "prefix": "vm"}``,
    or ``{"hosts": 3, "servers": [{"name": ..., "volumes": [{"size": 1}], ...}, ...]}``.
    """
    if "canned" in given:
        if given["canned"] != "demo":
            raise ValueError(f"no canned seed {given['canned']!r}; there is demo")
        return demo()
    known = {"hosts", "servers", "volumes_per_server", "prefix", "ssh", "root", "project"}
    if set(given) - known:
        raise ValueError(f"a seed has no {sorted(set(given) - known)[0]!r}; it has {', '.join(sorted(known))}")
    hosts = int(given.get("hosts", 3))
    servers = given.get("servers", 9)
    if isinstance(servers, int):
        return SeedSpec(hosts, tuple(_generated(number, given) for number in range(servers)))
    return SeedSpec(hosts, tuple(_server(one) for one in servers))


def _generated(number: int, given: dict[str, Any]) -> ServerSpec:
    volumes = tuple(VolumeSpec() for _ in range(int(given.get("volumes_per_server", 1))))
    return ServerSpec(
        f"{given.get('prefix', 'vm')}-{number + 1:02d}",
        project=given.get("project", "demo"),
        volumes=volumes,
        ssh=bool(given.get("ssh", False)),
        root=given.get("root", "image"),
    )


def _server(given: dict[str, Any]) -> ServerSpec:
    names = {f.name for f in dataclasses.fields(ServerSpec)}
    if set(given) - names:
        raise ValueError(f"a server has no {sorted(set(given) - names)[0]!r}; it has {', '.join(sorted(names))}")
    volumes = tuple(_volume(volume) for volume in given.get("volumes", ()))
    return ServerSpec(**{**given, "volumes": volumes})


def _volume(given: dict[str, Any]) -> VolumeSpec:
    names = {f.name for f in dataclasses.fields(VolumeSpec)}
    if set(given) - names:
        raise ValueError(f"a volume has no {sorted(set(given) - names)[0]!r}; it has {', '.join(sorted(names))}")
    return VolumeSpec(**given)


def demo() -> SeedSpec:
    """Nine servers of a small shop on three hosts: a database, what needs it, and what needs that."""
    cluster = VolumeSpec(size=5, shared="cluster-disk")
    return SeedSpec(
        3,
        (
            ServerSpec(
                "db-1",
                "sim-c01",
                "shop",
                root="volume",
                volumes=(VolumeSpec(10, tag="data", name="db-data"),),
                metadata={"stackmend:priority": "10"},
            ),
            ServerSpec("cache-1", "sim-c02", "shop", metadata={"stackmend:after": "db-1"}),
            ServerSpec("app-1", "sim-c01", "shop", metadata={"stackmend:after": "db-1,cache-1"}, group="app"),
            ServerSpec("app-2", "sim-c02", "shop", metadata={"stackmend:after": "db-1,cache-1"}, group="app"),
            ServerSpec(
                "web-1",
                "sim-c03",
                "shop",
                metadata={"stackmend:after": "group:app", "stackmend:ssh-reboot": "true"},
                ssh=True,
                volumes=(VolumeSpec(2),),
            ),
            ServerSpec("node-a", "sim-c02", "research", volumes=(cluster,)),
            ServerSpec("node-b", "sim-c03", "research", volumes=(cluster, VolumeSpec(1, delete_on_termination=True))),
            ServerSpec("files-1", "sim-c03", "office", root="volume", volumes=(VolumeSpec(20), VolumeSpec(20))),
            ServerSpec("old-1", "sim-c01", "office", status="SHUTOFF", volumes=(VolumeSpec(1),)),
        ),
    )
