"""One simulated cloud a test process, and an operator's desk in front of it for each test."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, MakeDesk
from openstack_lab import openstack_lab, pytest_addoption, pytest_collection_modifyitems  # noqa: F401

from stackmend.lab.control import SimulatedCloud

_SEEDS: dict[str, dict[str, Any]] = {
    "shop": {"canned": "demo"},
    "pair": {
        "hosts": 2,
        "servers": [
            {
                "name": "db",
                "host": "sim-c01",
                "root": "volume",
                "volumes": [{"name": "db-data", "tag": "data", "delete_on_termination": True}],
            },
            {"name": "web", "host": "sim-c02", "volumes": [{"name": "web-data"}]},
            {"name": "idle", "host": "sim-c01", "status": "SHUTOFF", "volumes": [{"name": "idle-data"}]},
        ],
    },
}


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedCloud]:
    """The cloud's process; heartbeats are quick, so that a recovery need not wait long for the next."""
    with _empty(SimulatedCloud(tmp_path_factory.mktemp("cloud"))) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def simulated_legacy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedCloud]:
    """A cloud with the schema of before 2015."""
    with _empty(SimulatedCloud(tmp_path_factory.mktemp("legacy"), schema="legacy")) as cloud:
        yield cloud


@pytest.fixture
def make_desk(simulated: SimulatedCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDesk]:
    """A desk in front of a cloud that was seeded, and whose power has just come back: no guest runs."""
    with _desks(simulated, tmp_path, monkeypatch) as make:
        yield make


@pytest.fixture
def make_legacy_desk(
    simulated_legacy: SimulatedCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeDesk]:
    """The same, with the old schema."""
    with _desks(simulated_legacy, tmp_path, monkeypatch) as make:
        yield make


@pytest.fixture
def shop(make_desk: MakeDesk) -> Desk:
    """Nine servers on three hosts: dependencies, shared and root volumes, one stopped, one with SSH."""
    return make_desk(**_SEEDS["shop"])


@pytest.fixture
def pair(make_desk: MakeDesk) -> Desk:
    """db (root and tagged data volume) and web on two hosts, and idle, which is stopped."""
    return make_desk(**_SEEDS["pair"])


@pytest.fixture
def old_pair(make_legacy_desk: MakeDesk) -> Desk:
    """The pair, with the old schema."""
    return make_legacy_desk(**_SEEDS["pair"])


@contextlib.contextmanager
def _empty(cloud: SimulatedCloud) -> Iterator[SimulatedCloud]:
    with cloud:
        cloud.settings(report_interval=0.2)
        cloud.snapshot("empty")
        yield cloud


@contextlib.contextmanager
def _desks(cloud: SimulatedCloud, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDesk]:
    usual = cloud.settings()
    desks: list[Desk] = []

    def make(**seed: Any) -> Desk:
        cloud.restore("empty")
        names = cloud.seed(**seed)
        cloud.power_cut()
        cloud.power_on()
        cloud.clear_journal()
        desks.append(Desk(cloud, directory, names))
        _use(monkeypatch, desks[-1])
        return desks[-1]

    yield make
    for desk in desks:
        desk.leave()
    cloud.settings(**usual)


def _use(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    for name in [name for name in os.environ if name.startswith(("OS_", "STACKMEND_"))]:
        monkeypatch.delenv(name)
    for name, value in desk.environment().items():
        monkeypatch.setenv(name, value)
