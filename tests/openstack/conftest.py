"""What the tests on the real OpenStack share: a town that is built anew, and an operator in front of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from openstack_client import Judge
from openstack_operator import Operator, operator_of
from openstack_town import NINE, MakeTown, Town, towns

from stackmend.lab.openstack.control import OpenStackLab


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say who was killed, and with which seed; and how long it was from an alarm to the last server."""
    titles = {"killed": "killed on the real OpenStack", "alarm": "after an alarm on the real OpenStack"}
    for report in terminalreporter.stats.get("passed", []):
        for name, told in report.user_properties:
            if name in titles:
                terminalreporter.write_line(f"{titles[name]}: {told}")


@pytest.fixture
def make_town(openstack_lab: OpenStackLab) -> Iterator[MakeTown]:
    """Builds a town on a clean lab."""
    with towns(openstack_lab) as make:
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
