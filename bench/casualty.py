"""A compute host of the real OpenStack lab with servers on it, its death, and what it costs to bring them back.

Whether they are back is read from the services' databases, so that nobody's call is counted but the contender's.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack.connection
import sqlalchemy as sa
from openstack.config import OpenStackConfig

from bench import access
from bench.access import Call
from stackmend.lab.openstack.control import OpenStackLab

_LONGEST = 900.0
_TICKS = os.sysconf("SC_CLK_TCK")
_QUOTAS = {"compute": ("instances", "cores", "ram"), "block-storage": ("volumes", "gigabytes")}
_BACK = {
    "nova": """SELECT COUNT(*) FROM instances WHERE deleted = 0 AND host <> :host AND vm_state = 'active'
        AND task_state IS NULL AND power_state = 1""",
    "cinder": """SELECT COUNT(*) FROM volume_attachment JOIN volumes ON volumes.id = volume_attachment.volume_id
        WHERE volume_attachment.deleted = 0 AND attached_host <> :host AND volumes.status = 'in-use'""",
    "neutron": """SELECT COUNT(*) FROM ml2_port_bindings JOIN ports ON ports.id = ml2_port_bindings.port_id
        WHERE ml2_port_bindings.status = 'ACTIVE' AND ports.status = 'ACTIVE' AND host <> :host AND host <> ''
        AND device_owner LIKE 'compute:%'""",
}


class Casualty:
    """The first host of a lab, with ``servers`` of a data volume each; ``dies`` takes its power."""

    def __init__(self, lab: OpenStackLab, servers: int) -> None:
        self.lab = lab
        self.host: str = lab.description["hosts"][0]
        self.count = servers
        files = [lab.description["clouds_yaml"]]
        config = OpenStackConfig(config_files=files, load_envvars=False).get_one("lab")
        self.cloud = openstack.connection.Connection(config=config)
        urls = lab.description["databases"]
        self._databases = {name: sa.create_engine(urls[name]) for name in _BACK}

    def close(self) -> None:
        """Hang up."""
        self.cloud.close()
        for database in self._databases.values():
            database.dispose()

    def build(self) -> None:
        """A clean lab with the servers on the host, running, each with its volume."""
        self.lab.reset()
        self._lift_quotas()
        image = self.cloud.image.find_image("dummy", ignore_missing=False).id
        disks = [
            {"boot_index": 0, "uuid": image, "source_type": "image", "destination_type": "local"},
            {"boot_index": -1, "source_type": "blank", "destination_type": "volume", "volume_size": 1},
        ]
        self.cloud.compute.create_server(
            name="bench",
            image_id=image,
            flavor_id=self.cloud.compute.find_flavor("tiny", ignore_missing=False).id,
            networks=[{"uuid": self.cloud.network.find_network("net1", ignore_missing=False).id}],
            block_device_mapping_v2=disks,
            availability_zone=f"nova:{self.host}",
            min_count=self.count,
            max_count=self.count,
        )
        self.until(lambda: self._count("") == self.count, "the servers run")

    def dies(self) -> None:
        """Its power goes, and nova has noticed."""
        self.lab.host(self.host, "power-off")

        def down() -> bool:
            found = list(self.cloud.compute.services(binary="nova-compute", host=self.host))
            return bool(found[0].state == "down")

        self.until(down, f"nova sees that {self.host} is down")

    def back(self) -> bool:
        """Whether every server runs elsewhere, its volume and its port there with it."""
        return self._count(self.host) == self.count

    def until(self, condition: Callable[[], bool], what: str, poll: float = 0.1) -> None:
        """Wait for a condition. Raises TimeoutError saying what did not come true."""
        deadline = time.monotonic() + _LONGEST
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {_LONGEST:.0f} s: {what}")
            time.sleep(poll)

    def calls(self) -> Counter[Call]:
        """The calls that each API has taken so far, and how often each."""
        return access.calls(Path(self.lab.description["logs"]))

    def cpu(self) -> dict[str, float]:
        """CPU seconds that each process of the lab has used, those that it started with it."""
        groups = {row["pid"]: str(row["name"]) for row in self.lab.status() if row["pid"]}
        found = dict.fromkeys(groups.values(), 0.0)
        for group, ticks in _processes():
            if group in groups:
                found[groups[group]] += ticks / _TICKS
        return found

    def _count(self, gone: str) -> int:
        """How many are whole at every service, elsewhere than on ``gone``."""
        found = []
        for name, database in self._databases.items():
            with database.connect() as link:
                found.append(int(link.execute(sa.text(_BACK[name]), {"host": gone}).scalar_one()))
        return min(found)

    def _lift_quotas(self) -> None:
        identity: Any = self.cloud.identity
        for project in identity.projects():
            for service, kinds in _QUOTAS.items():
                adapter: Any = self.cloud.compute if service == "compute" else self.cloud.block_storage
                adapter.put(f"/os-quota-sets/{project.id}", json={"quota_set": dict.fromkeys(kinds, -1)})


def _processes() -> Iterator[tuple[int, int]]:
    """The group of every process, and the clock ticks that it and its ended children have used."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            yield int(fields[2]), sum(map(int, fields[11:15]))
