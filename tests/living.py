"""A cloud whose servers run, a host of it that dies, and an operator who brings its servers back."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, Ended

from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.ssh import Command, Ssh, SshSettings
from stackmend.lab.control import SimulatedCloud

MakeLiving = Callable[..., "LivingDesk"]
# Root and data volumes, a shared volume, one that is stopped, one with a local disk; who comes after whom.
SERVERS: list[dict[str, Any]] = [
    {"name": "db", "host": "sim-c01", "root": "volume", "volumes": [{"name": "db-data", "tag": "data"}]},
    {
        "name": "web",
        "host": "sim-c01",
        "root": "volume",
        "volumes": [{"shared": "cluster"}],
        "metadata": {"stackmend:after": "db"},
    },
    {"name": "idle", "host": "sim-c01", "root": "volume", "status": "SHUTOFF"},
    {"name": "disk", "host": "sim-c01"},
    {"name": "peer", "host": "sim-c02", "root": "volume", "volumes": [{"shared": "cluster"}]},
]
EVACUATION = {"dead_timeout": 6, "fence_timeout": 5, "evacuate_timeout": 20, "boot_timeout": 15, "pause": 0.1}


class LivingDesk(Desk):
    """The desk, with the inventory of the cloud's hosts."""

    def settings(self, **changes: Any) -> None:
        """As ever, and where the hosts are."""
        super().settings(**{"inventory": self.cloud.description["inventory"], "settle": 0.3, **changes})

    def dies(self, host: str) -> None:
        """A host loses its power, and nobody hears of it any more."""
        self.cloud.host(host, "power-off")
        self.cloud.damage("heartbeat-stale", host)

    def crashes(self, host: str) -> None:
        """A host hangs: nothing of it is heard, and its power is on."""
        self.cloud.host(host, "partition")
        self.cloud.damage("heartbeat-stale", host)

    def do(self, procedure: str, *words: str, **parameters: Any) -> Ended:
        """Run a procedure, approved at once."""
        return self.stackmend("run", procedure, *words, "--yes", "-f", "json", *asked(procedure, parameters))

    def planned(self, procedure: str, *words: str, **parameters: Any) -> dict[str, Any]:
        """The plan that such a run would execute."""
        ended = self.stackmend("plan", procedure, *words, "-f", "json", *asked(procedure, parameters))
        assert ended.code == 0, ended.err
        found: dict[str, Any] = ended.data
        return found

    def guests(self) -> set[tuple[str, str]]:
        """The guests that really run: server's name and host, one for each place that runs it."""
        names = {value: name for name, value in self.servers.items()}
        found = self.cloud.state()["guests"].values()
        return {(names[row["uuid"]], row["host"]) for row in found if row["running"]}

    def places(self) -> dict[str, tuple[str, str]]:
        """Where nova has each server, and as what."""
        names = {value: name for name, value in self.servers.items()}
        rows = [row for row in self.table("nova", "instances") if not row["deleted"]]
        return {names[row["uuid"]]: (row["host"], row["vm_state"]) for row in rows}

    def counted(self, kind: str) -> list[str]:
        """The names of the servers that an effect of this kind happened to, as often as it did."""
        names = {value: name for name, value in self.servers.items()}
        return sorted(names[effect["target"]] for effect in self.cloud.journal(kind))

    def service(self, host: str) -> dict[str, Any]:
        """A host's nova-compute, as its row says."""
        (row,) = [
            row for row in self.table("nova", "services") if (row["host"], row["binary"]) == (host, "nova-compute")
        ]
        return {name: row[name] for name in ("disabled", "disabled_reason", "forced_down")}

    def ask(self, method: str, path: str, body: Any = None, service: str = "compute", at: str | None = None) -> Any:
        """A call of somebody else's, as administrator; the answer's body."""
        cloud = Cloud.connect("sim")
        try:
            return cloud.send(ApiCall(service, method, path, body, at), f"req-{uuid.uuid4()}").body
        finally:
            cloud.close()

    def switch(self, host: str, **fields: Any) -> None:
        """Somebody sets fields of a host's nova-compute: status, disabled_reason, forced_down."""
        rows = [row for row in self.table("nova", "services") if row["host"] == host]
        self.ask("PUT", f"/os-services/{rows[0]['uuid']}", fields, at="2.53")

    def on_host(self, host: str, command: str) -> None:
        """Somebody types a command as root on a host."""
        found = self.cloud.description
        keys = {"key_files": [found["ssh_key"]], "known_hosts": [found["ssh_known_hosts"]], "agent": False}
        address = self.cloud.state()["hosts"][host]["address"]
        ended = Ssh(SshSettings(port=found["ssh_port"], **keys)).run(Command(address, command, user="root"))
        assert ended.exit_status == 0, ended

    def errors(self, ended: Ended) -> list[str]:
        """Why lanes of a run stopped."""
        return [lane["error"] for lane in ended.data["lanes"] if lane["error"]]


def asked(procedure: str, parameters: dict[str, Any]) -> list[str]:
    """The options for quick waits, and other parameters; one that is a list is given as often as it is long."""
    from stackmend.engine.procedures import named

    known = {item.name for item in named(procedure).parameters}
    usual = {name: value for name, value in EVACUATION.items() if name in known}
    pairs = [
        (name, value)
        for name, given in {**usual, **parameters}.items()
        for value in (given if isinstance(given, list) else [given])
    ]
    return [word for name, value in pairs for word in ("-p", f"{name}={value}")]


@contextlib.contextmanager
def living_desks(
    cloud: SimulatedCloud, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., LivingDesk]]:
    """Desks in front of clouds whose servers run."""
    usual, desks = cloud.settings(), []

    def make(kind: type[LivingDesk] = LivingDesk, **seed: Any) -> LivingDesk:
        cloud.restore("empty")
        names = cloud.seed(**{"hosts": 3, "servers": SERVERS, **seed})
        cloud.clear_journal()
        desks.append(kind(cloud, directory, names))
        for name in [name for name in os.environ if name.startswith(("OS_", "STACKMEND_"))]:
            monkeypatch.delenv(name)
        for name, value in desks[-1].environment().items():
            monkeypatch.setenv(name, value)
        return desks[-1]

    yield make
    for desk in desks:
        desk.leave()
    cloud.settings(**usual)


@pytest.fixture
def make_living(simulated: SimulatedCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeLiving]:
    """Makes desks in front of a cloud whose servers run."""
    with living_desks(simulated, tmp_path, monkeypatch) as make:
        yield make


@pytest.fixture
def living(make_living: MakeLiving) -> LivingDesk:
    """Four servers on sim-c01, one on sim-c02, none on sim-c03."""
    return make_living()
