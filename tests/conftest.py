"""One simulated cloud a test process, and an operator's desk in front of it for each test."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, MakeDesk

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
    with SimulatedCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        cloud.settings(report_interval=0.2)
        cloud.snapshot("empty")
        yield cloud


@pytest.fixture
def make_desk(simulated: SimulatedCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDesk]:
    """A desk in front of a cloud that was seeded, and whose power has just come back: no guest runs."""
    usual = simulated.settings()
    desks: list[Desk] = []

    def make(**seed: Any) -> Desk:
        simulated.restore("empty")
        names = simulated.seed(**seed)
        simulated.power_cut()
        simulated.power_on()
        simulated.clear_journal()
        desk = Desk(simulated, tmp_path, names)
        _use(monkeypatch, desk)
        desks.append(desk)
        return desk

    yield make
    for desk in desks:
        desk.leave()
    simulated.settings(**usual)


@pytest.fixture
def shop(make_desk: MakeDesk) -> Desk:
    """Nine servers on three hosts: dependencies, shared and root volumes, one stopped, one with SSH."""
    return make_desk(**_SEEDS["shop"])


@pytest.fixture
def pair(make_desk: MakeDesk) -> Desk:
    """db (root and tagged data volume) and web on two hosts, and idle, which is stopped."""
    return make_desk(**_SEEDS["pair"])


def _use(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    for name in [name for name in os.environ if name.startswith(("OS_", "STACKMEND_"))]:
        monkeypatch.delenv(name)
    for name, value in desk.environment().items():
        monkeypatch.setenv(name, value)
