"""One real OpenStack for a whole test session: the one that $STACKMEND_LAB_DIRECTORY names, or one of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.lab.openstack.control import OpenStackLab


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under pytest-xdist there is one lab too, so one worker runs everything that needs it (--dist loadgroup)."""
    for item in items:
        if item.get_closest_marker("openstack"):
            item.add_marker(pytest.mark.xdist_group("openstack"))


@pytest.fixture(scope="session")
def openstack_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStackLab]:
    """The lab, up. One of our own is clean, and removed at the end; one that is named stays up as it is left."""
    named = os.environ.get("STACKMEND_LAB_DIRECTORY")
    lab = OpenStackLab(Path(named) if named else tmp_path_factory.mktemp("openstack"))
    try:
        yield lab.up()
    finally:
        if not named:
            lab.down(purge=True)
