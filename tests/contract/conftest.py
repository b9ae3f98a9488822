"""One suite, two clouds: what is asserted here holds on the simulated cloud and on a real OpenStack."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.calls import Lab
from contract.cloud import Cloud
from contract.standing_lab import StandingLab

from stackmend.lab.control import SimulatedCloud

_HOSTS = 3


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
        real = Cloud(_real(request), ("lab", "lab-member"))
        real.lift_quotas()
        yield from _opened(real)
        return
    with SimulatedCloud(tmp_path_factory.mktemp("contract")) as lab:
        lab.settings(report_interval=0.2, service_down_time=1.0)
        lab.seed(hosts=_HOSTS, servers=[])
        yield from _opened(Cloud(lab, ("sim", "sim-member")))


def _real(request: pytest.FixtureRequest) -> Lab:
    named = Path(os.environ.get("STACKMEND_LAB_DIRECTORY", ""))
    if StandingLab.stands_in(named):
        return StandingLab(named)
    lab: Lab = request.getfixturevalue("openstack_lab")
    return lab


def _opened(cloud: Cloud) -> Iterator[Cloud]:
    yield cloud
    cloud.close()


@pytest.fixture(scope="session")
def server(cloud: Cloud) -> str:
    """An admin's running server on the first host, which every test leaves as it was."""
    return cloud.boot(cloud.hosts[0], keep=True)


@pytest.fixture(scope="session")
def theirs(cloud: Cloud) -> str:
    """A running server of a project's member, somewhere."""
    return cloud.boot(member=True, keep=True)


@pytest.fixture(scope="module", autouse=True)
def _swept(cloud: Cloud) -> Iterator[None]:
    """Each module's servers go with it; nobody waits for that."""
    yield
    cloud.sweep()
