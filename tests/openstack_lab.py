"""One real OpenStack for a whole test session: the one that $STACKMEND_LAB_DIRECTORY names, or one of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.lab.openstack import health
from stackmend.lab.openstack.control import OpenStackLab
from stackmend.lab.openstack.releases import NEWEST, RELEASES
from stackmend.lab.openstack.site import DEFAULT_PORT_BASE


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which OpenStack the lab runs; a lab that is named must be of that release."""
    told = f"OpenStack's release under the tests (default: {NEWEST}, or that of the lab that is named)"
    parser.addoption("--openstack-release", choices=list(RELEASES), default="", help=told)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under pytest-xdist there is one lab too, so one worker runs everything that needs it (--dist loadgroup)."""
    for item in items:
        if item.get_closest_marker("openstack"):
            item.add_marker(pytest.mark.xdist_group("openstack"))


def _free_ports() -> int:
    """The usual ports; the next that are free, where a session that was killed has left its lab on them."""
    bases = range(DEFAULT_PORT_BASE, DEFAULT_PORT_BASE + 5000, 1000)
    return next(base for base in bases if not any(health.connects(port) for port in (base + 6, base)))


@pytest.fixture(scope="session")
def openstack_lab(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStackLab]:
    """The lab, up. One of our own is clean, and removed at the end; one that is named stays up as it is left."""
    named = os.environ.get("STACKMEND_LAB_DIRECTORY")
    lab = OpenStackLab(Path(named) if named else tmp_path_factory.mktemp("openstack"))
    try:
        release = pytestconfig.getoption("--openstack-release")
        yield lab.up(release=release, port_base=0 if named else _free_ports())
    finally:
        if not named:
            lab.down(purge=True)
