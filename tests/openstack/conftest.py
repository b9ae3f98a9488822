"""What the tests on the real OpenStack share: a town that is built anew, and an operator in front of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from openstack_client import Judge
from openstack_operator import Operator, operator_of
from openstack_town import NINE, MakeTown, Servers, Town

from stackmend.lab.openstack.control import OpenStackLab


@pytest.fixture
def make_town(openstack_lab: OpenStackLab) -> Iterator[MakeTown]:
    """Builds a town on a clean lab."""
    with ExitStack() as stack:

        def make(servers: Servers) -> Town:
            openstack_lab.reset()
            built = stack.enter_context(Town(openstack_lab, servers))
            built.build()
            return built

        yield make


@pytest.fixture
def town(make_town: MakeTown) -> Town:
    """Nine servers on three hosts."""
    return make_town(NINE)


@pytest.fixture
def operator(openstack_lab: OpenStackLab, tmp_path: Path) -> Iterator[Operator]:
    """With a run store and settings of their own."""
    with operator_of(openstack_lab, tmp_path) as found:
        yield found


@pytest.fixture
def judge(openstack_lab: OpenStackLab) -> Judge:
    """OpenStack's own client."""
    return Judge(openstack_lab.client, openstack_lab.environment())
