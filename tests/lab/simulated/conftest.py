"""One simulated cloud a test process; each test finds it as it was after the demo's seed."""

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.adapter import Adapter
from openstack.config import OpenStackConfig
from openstack.connection import Connection
from waiting import until

from stackmend.lab.control import SimulatedCloud


class Bench:
    """The cloud, real clients of it, and another process's view of its rows."""

    def __init__(self, cloud: SimulatedCloud) -> None:
        self.cloud = cloud
        self.settings = cloud.settings()
        self.admin = self.connect("sim")
        self.member = self.connect("sim-member")
        self.servers = {row["display_name"]: row["uuid"] for row in self.rows("nova", "SELECT * FROM instances")}
        self.volumes = {row["display_name"]: row["id"] for row in self.rows("cinder", "SELECT * FROM volumes")}

    def connect(self, name: str) -> Connection:
        """A real openstacksdk connection to a cloud of clouds.yaml."""
        with warnings.catch_warnings():
            # openstacksdk warns of its own influxdb default, whatever the configuration.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            config = OpenStackConfig([self.cloud.description["clouds_yaml"]], load_envvars=False)
            return Connection(config=config.get_one(name))

    def close(self) -> None:
        """Close the clients."""
        self.admin.close()
        self.member.close()

    def compute(self, method: str, path: str, version: str = "2.96", *, member: bool = False, **more: Any) -> Any:
        """A call to nova; the response, whatever its status."""
        return self.call("compute", method, path, version, member=member, **more)

    def cinder(self, method: str, path: str, version: str = "3.71", *, member: bool = False, **more: Any) -> Any:
        """A call to cinder; the response, whatever its status."""
        return self.call("block-storage", method, path, version, member=member, **more)

    def call(
        self,
        service: str,
        method: str,
        path: str,
        version: str | None = None,
        *,
        member: bool = False,
        **more: Any,
    ) -> Any:
        """A call to a service of the catalog; the response, whatever its status."""
        session = (self.member if member else self.admin).session
        adapter = Adapter(session, service_type=service, interface="public")
        return adapter.request(path, method, microversion=version, raise_exc=False, **more)

    def server(self, name: str) -> dict[str, Any]:
        """A server, by name, as the compute API shows it."""
        found: dict[str, Any] = self.compute("GET", f"/servers/{self.servers[name]}").json()["server"]
        return found

    def act(self, name: str, version: str = "2.96", **body: Any) -> Any:
        """POST a server action."""
        return self.compute("POST", f"/servers/{self.servers[name]}/action", version, json=body)

    def reboot(self, name: str, kind: str = "HARD") -> Any:
        """Ask for a reboot; the response."""
        return self.act(name, reboot={"type": kind})

    def settled(self, name: str, status: str = "ACTIVE") -> dict[str, Any]:
        """Wait until a server has that status and nothing goes on."""

        def found() -> dict[str, Any] | None:
            view = self.server(name)
            return view if view["status"] == status and view["OS-EXT-STS:task_state"] is None else None

        view: dict[str, Any] = until(found, f"server {name} is {status} and idle")
        return view

    def volume(self, name: str) -> dict[str, Any]:
        """A volume, by name, as cinder shows it."""
        found: dict[str, Any] = self.cinder("GET", f"/volumes/{self.volumes[name]}").json()["volume"]
        return found

    def devices(self, name: str) -> list[dict[str, Any]]:
        """nova's volume attachments of a server."""
        path = f"/servers/{self.servers[name]}/os-volume_attachments"
        found: list[dict[str, Any]] = self.compute("GET", path, "2.89").json()["volumeAttachments"]
        return found

    def action(self, name: str, request_id: str) -> dict[str, Any]:
        """One instance action with its events."""
        path = f"/servers/{self.servers[name]}/os-instance-actions/{request_id}"
        found: dict[str, Any] = self.compute("GET", path).json()["instanceAction"]
        return found

    def _path(self, database: str) -> Path:
        return Path(self.cloud.description["databases"][database].removeprefix("sqlite:///"))

    def rows(self, database: str, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Rows that another process sees."""
        with closing(sqlite3.connect(self._path(database), timeout=5)) as link:
            link.row_factory = sqlite3.Row
            return [dict(row) for row in link.execute(sql, values)]

    def execute(self, database: str, sql: str, *values: Any) -> None:
        """A statement from another process."""
        with closing(sqlite3.connect(self._path(database), timeout=5)) as link, link:
            link.execute(sql, values)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The process, seeded with the demo."""
    with SimulatedCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        cloud.seed(canned="demo")
        cloud.snapshot("demo")
        bench = Bench(cloud)
        yield bench
        bench.close()


@pytest.fixture
def bench(running: Bench) -> Iterator[Bench]:
    """The cloud as it was after the seed, with an empty journal and no fault in force."""
    running.cloud.restore("demo")
    yield running
    running.cloud.settings(**running.settings)


@pytest.fixture(scope="session")
def legacy_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A process with the schema of before 2015, seeded with the demo."""
    with SimulatedCloud(tmp_path_factory.mktemp("legacy"), schema="legacy") as cloud:
        cloud.seed(canned="demo")
        cloud.snapshot("demo")
        bench = Bench(cloud)
        yield bench
        bench.close()


@pytest.fixture
def old(legacy_running: Bench) -> Bench:
    """The legacy cloud as it was after the seed."""
    legacy_running.cloud.restore("demo")
    return legacy_running
