"""One suite, two clouds: what is asserted here holds on the simulated cloud and on a real OpenStack."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.cloud import Cloud
from contract.standing_lab import VARIABLE, StandingLab

from stackmend.lab.control import SimulatedCloud

_HOSTS = 3


def pytest_configure(config: pytest.Config) -> None:
    """The marker of what needs a real OpenStack."""
    config.addinivalue_line("markers", "openstack: needs a real OpenStack lab; left out where there is none")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the real cloud's half out where no lab is named."""
    if os.environ.get(VARIABLE):
        return
    left_out = [item for item in items if item.get_closest_marker("openstack") and "contract" in item.path.parts]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(
    scope="session",
    params=[
        "simulated",
        pytest.param("openstack", marks=[pytest.mark.openstack, pytest.mark.xdist_group("openstack")]),
    ],
)
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The cloud: its APIs, its rows, and its switches (``cloud.lab``)."""
    if request.param == "openstack":
        yield from _opened(Cloud(StandingLab(Path(os.environ[VARIABLE])), ("lab", "lab-member")))
        return
    with SimulatedCloud(tmp_path_factory.mktemp("contract")) as lab:
        lab.settings(report_interval=0.2, service_down_time=1.0)
        lab.seed(hosts=_HOSTS, servers=[])
        yield from _opened(Cloud(lab, ("sim", "sim-member")))


def _opened(cloud: Cloud) -> Iterator[Cloud]:
    yield cloud
    cloud.close()


@pytest.fixture(scope="module", autouse=True)
def _swept(cloud: Cloud) -> Iterator[None]:
    """Each module's servers go with it; nobody waits for that."""
    yield
    cloud.sweep()
