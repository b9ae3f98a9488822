"""A real OpenStack for a whole test session: the one that $STACKMEND_LAB_DIRECTORY names, or one of its own.

Under pytest-xdist there are two of them, side by side: what needs the services around nova has its own.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.lab.openstack import health, record
from stackmend.lab.openstack.control import OpenStackLab
from stackmend.lab.openstack.releases import NEWEST, RELEASES
from stackmend.lab.openstack.site import DEFAULT_PORT_BASE


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which OpenStack the lab runs; a lab that is named must be of that release."""
    told = f"OpenStack's release under the tests (default: {NEWEST}, or that of the lab that is named)"
    parser.addoption("--openstack-release", choices=list(RELEASES), default="", help=told)


_NAMED = "STACKMEND_LAB_DIRECTORY"
# Those that start Mistral and Aodh, or change the services' policies; and before them those of the lab itself, so that
# neither lab has much more to do than the other.
_AROUND = frozenset(["test_lab.py", "test_alarms.py", "test_incidents.py", "test_mistral.py", "test_rights.py"])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A lab has one user at a time: all that needs it is run by one worker (--dist loadgroup)."""
    for item in items:
        if item.get_closest_marker("openstack"):
            apart = item.path.name in _AROUND and _NAMED not in os.environ
            item.add_marker(pytest.mark.xdist_group("openstack, around it" if apart else "openstack"))


def _free_ports() -> int:
    """Ports of this worker's own; the next that are free, where a session that was killed has left its lab on them."""
    first = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 5
    bases = [DEFAULT_PORT_BASE + (first + number) % 5 * 1000 for number in range(5)]
    return next(base for base in bases if not any(health.connects(port) for port in (base + 6, base)))


@pytest.fixture(scope="session")
def openstack_lab(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStackLab]:
    """The lab, up. One of our own is clean, and removed at the end; one that is named stays up as it is left."""
    named, release = os.environ.get(_NAMED), pytestconfig.getoption("--openstack-release")
    with contextlib.ExitStack() as left:
        if named:
            yield OpenStackLab(Path(named)).up(release=release)
            return
        lab = OpenStackLab(tmp_path_factory.mktemp("openstack"))
        left.callback(_away, lab)
        yield lab.up(release=release, port_base=_free_ports())


def _away(lab: OpenStackLab) -> None:
    # One that could not be made has nothing to take away, and what it lacked is what is to be told.
    if record.exists(lab.directory):
        lab.down(purge=True)
