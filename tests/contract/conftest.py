"""One suite, two clouds: what is asserted here holds on the simulated cloud and on a real OpenStack."""

from collections.abc import Iterator

import pytest
from contract.cloud import Cloud

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
        real = Cloud(request.getfixturevalue("openstack_lab"), ("lab", "lab-member"))
        real.lift_quotas()
        yield from _opened(real)
        return
    with SimulatedCloud(tmp_path_factory.mktemp("contract")) as lab:
        lab.settings(report_interval=0.2, service_down_time=1.0)
        lab.seed(hosts=_HOSTS, servers=[])
        yield from _opened(Cloud(lab, ("sim", "sim-member")))


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
