"""Servers of a real OpenStack on its three hosts, with their volumes; and the nine that most tests begin with."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import openstack.connection
import sqlalchemy as sa
from openstack.config import OpenStackConfig
from waiting import until

from stackmend.lab.openstack.control import OpenStackLab

Servers = dict[str, dict[str, Any]]
MakeTown = Callable[[Servers], "Town"]
# Data and root volumes, one shared, one server stopped, and who comes after whom.
NINE: Servers = {
    "db-1": {"host": 0, "root": "volume", "volumes": ["db-1-data"], "tag": "data"},
    "db-2": {"host": 1, "volumes": ["db-2-data"]},
    "app-1": {"host": 1, "volumes": ["app-1-data"], "after": "db-1"},
    "app-2": {"host": 2, "root": "volume", "volumes": ["app-2-data"], "after": "db-1"},
    "web-1": {"host": 0, "volumes": ["web-1-data"], "after": "app-1,app-2"},
    "node-1": {"host": 1, "volumes": ["shared"]},
    "node-2": {"host": 2, "volumes": ["shared"]},
    "old-1": {"host": 2, "volumes": ["old-1-data"], "stopped": True},
    "plain-1": {"host": 0, "volumes": []},
}


class Town:
    """The servers and volumes by name; ``build`` makes them, leaving the block lets the connection go.

    Each of ``servers``: ``host`` (its number), ``volumes``; and ``root`` (``volume``), ``stopped``, ``after``,
    ``apart`` (the name of an anti-affinity group), ``tag`` (of its volumes, which go when it is deleted: nova's fake
    driver keeps no metadata of devices, so such a server can be rebooted, but neither evacuated nor lose them).
    """

    def __init__(self, lab: OpenStackLab, servers: Servers) -> None:
        self._lab = lab
        self._specs = servers
        self.servers: dict[str, str] = {}
        self.volumes: dict[str, str] = {}
        self._base = ("", "", "")
        self._groups: dict[str, str] = {}

    def __enter__(self) -> Self:
        files = [self._lab.description["clouds_yaml"]]
        found = OpenStackConfig(config_files=files, load_envvars=False).get_one("lab")
        self._cloud = openstack.connection.Connection(config=found)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cloud.close()

    def build(self) -> None:
        """Everything at once, as far as one thing need not wait for another."""
        # Once, and not by many threads: openstacksdk's first call of a service is not made for that.
        found = self._cloud
        self._base = (
            found.image.find_image("dummy", ignore_missing=False).id,
            found.compute.find_flavor("tiny", ignore_missing=False).id,
            found.network.find_network("net1", ignore_missing=False).id,
        )
        names = {volume for spec in self._specs.values() for volume in spec["volumes"]}
        roots = {f"{name}-root" for name, spec in self._specs.items() if spec.get("root")}
        for group in {spec["apart"] for spec in self._specs.values() if "apart" in spec}:
            self._groups[group] = found.compute.create_server_group(name=group, policy="anti-affinity").id
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._volume, sorted(names | roots)))
            list(pool.map(self._server, self._specs))
            list(pool.map(self._attach_all, self._together()))
        for name, spec in self._specs.items():
            if spec.get("stopped"):
                self._cloud.compute.stop_server(self.servers[name])
                self._until(name, "SHUTOFF")

    def ids(self, *names: str) -> list[str]:
        """The ids of these servers, or of all."""
        return [self.servers[name] for name in names or self.servers]

    def reset_volume(self, name: str, **states: str) -> None:
        """What `cinder reset-state` does."""
        self._cloud.block_storage.reset_volume_status(self.volumes[name], **states)

    def take_off(self, name: str, volume: str) -> None:
        """A user detaches a volume."""
        self._cloud.compute.delete_volume_attachment(self.servers[name], self.volumes[volume])
        found = self._cloud.block_storage
        until(lambda: found.get_volume(self.volumes[volume]).status == "available", f"{volume} is off {name}", 60)

    def _volume(self, name: str) -> None:
        made = self._cloud.block_storage.create_volume(name=name, size=1)
        self.volumes[name] = made.id
        until(lambda: self._cloud.block_storage.get_volume(made.id).status == "available", f"volume {name}", 60)
        if name == "shared":
            # The lab's volume driver does not offer it: no type would make such a volume there.
            statement(self._lab, "cinder", "UPDATE volumes SET multiattach = 1 WHERE id = :id", id=made.id)
        if name.endswith("-root"):
            self._cloud.block_storage.set_volume_bootable_status(made.id, True)

    def _server(self, name: str) -> None:
        spec, compute = self._specs[name], self._cloud.compute
        image, flavor, network = self._base
        given: dict[str, Any] = {"image_id": image}
        if spec.get("root"):
            disk = {"boot_index": 0, "uuid": self.volumes[f"{name}-root"]}
            given = {"block_device_mapping_v2": [{**disk, "source_type": "volume", "destination_type": "volume"}]}
        if "apart" in spec:
            given["scheduler_hints"] = {"group": self._groups[spec["apart"]]}
        made = compute.create_server(
            name=name,
            flavor_id=flavor,
            networks=[{"uuid": network}],
            availability_zone=f"nova:{self._lab.description['hosts'][spec['host']]}",
            metadata={"stackmend:after": spec["after"]} if "after" in spec else {},
            **given,
        )
        self.servers[name] = made.id
        self._until(name, "ACTIVE")

    def _together(self) -> list[list[str]]:
        """The servers, in lists that share no volume: cinder refuses an attachment while another of it is made."""
        found: list[list[str]] = []
        for name, spec in self._specs.items():
            sharing = [others for others in found if set(spec["volumes"]) & self._volumes_of(others)]
            found = [others for others in found if others not in sharing]
            found.append([*(other for others in sharing for other in others), name])
        return found

    def _volumes_of(self, names: list[str]) -> set[str]:
        return {volume for name in names for volume in self._specs[name]["volumes"]}

    def _attach_all(self, names: list[str]) -> None:
        for name in names:
            for volume in self._specs[name]["volumes"]:
                self._attach(name, volume)

    def _attach(self, name: str, volume: str) -> None:
        tag = self._specs[name].get("tag")
        extra = {"tag": tag, "delete_on_termination": True} if tag else {}
        self._cloud.compute.create_volume_attachment(self.servers[name], volume_id=self.volumes[volume], **extra)

        def attached() -> bool:
            found = self._cloud.block_storage.get_volume(self.volumes[volume])
            here = [item for item in found.attachments if item["server_id"] == self.servers[name]]
            return bool(here) and found.status == "in-use"

        until(attached, f"{volume} on {name}", 60)

    def _until(self, name: str, status: str) -> None:
        def there() -> bool:
            found = self._cloud.compute.get_server(self.servers[name])
            assert found.status != "ERROR", found.fault
            return bool(found.status == status and found.task_state is None)

        until(there, f"{name} {status}", 120)


@contextmanager
def towns(lab: OpenStackLab) -> Iterator[MakeTown]:
    """Builds towns, each on a clean lab."""
    with ExitStack() as stack:

        def make(servers: Servers) -> Town:
            lab.reset()
            built = stack.enter_context(Town(lab, servers))
            built.build()
            return built

        yield make


def make_stale(
    lab: OpenStackLab, town: Town, *, busy: Sequence[str], failed: Sequence[str] = (), lost: Sequence[str]
) -> None:
    """What a power loss and careless hands leave behind.

    ``busy``: servers whose task never ended; ``failed``: volumes in error; ``lost``: volumes whose attachments cinder
    has lost.
    """
    for name in busy:
        statement(lab, "nova", "UPDATE instances SET task_state='powering-off' WHERE uuid=:id", id=town.servers[name])
    for name in failed:
        town.reset_volume(name, status="error")
    for name in lost:
        town.reset_volume(name, status="available", attach_status="detached")


def statement(lab: OpenStackLab, database: str, text: str, **values: str) -> None:
    """A statement of somebody else's."""
    engine = sa.create_engine(lab.description["databases"][database])
    try:
        with engine.begin() as link:
            assert link.execute(sa.text(text), values).rowcount == 1
    finally:
        engine.dispose()


def records(lab: OpenStackLab) -> list[tuple[str, str]]:
    """Nova's records of migrations as they are at this moment: server and status, oldest first."""
    engine = sa.create_engine(lab.description["databases"]["nova"])
    try:
        with engine.connect() as link:
            found = link.execute(sa.text("SELECT instance_uuid, status FROM migrations ORDER BY id"))
            return [(server, status) for server, status in found]
    finally:
        engine.dispose()
