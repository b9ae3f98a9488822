"""power-loss on a real OpenStack: its power fails, its rows go stale, the recovery is killed, and all is as before.

The judge is OpenStack's own client; the rows are made stale in the ways that the guides and operators tell of.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from openstack_client import Judge
from openstack_operator import Operator
from openstack_town import Town, make_stale, statement

from stackmend.lab.openstack.control import OpenStackLab

# openstacksdk, which builds the town, warns of its own defaults and calls, whatever one does.
pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
# So many servers are back when the recovery is killed.
_BACK = 2


def make_all_stale(lab: OpenStackLab, town: Town) -> None:
    """What a power loss and careless hands leave behind."""
    statement(
        lab,
        "cinder",
        "UPDATE volumes SET status='available', attach_status='detached' WHERE id=:id",
        id=town.volumes["web-1-data"],
    )
    make_stale(lab, town, busy=["app-1"], failed=["app-2-data"], lost=["db-1-data", "db-1-root", "old-1-data"])


def test_killed_in_the_middle_and_resumed_it_is_as_before(
    openstack_lab: OpenStackLab, town: Town, operator: Operator, judge: Judge
) -> None:
    ids = town.ids()
    before = judge.state(ids)
    capture = str(operator.directory / "capture.json")
    assert operator.types("capture", "power-loss", "-o", capture, *operator.sql).code == 0
    openstack_lab.power_cut()
    openstack_lab.power_on()
    make_all_stale(openstack_lab, town)
    broken = judge.state(ids)
    assert broken != before

    run = ("run", "power-loss", "--yes", "--key", "loss", "--capture", capture, "-p", "ready_interval=1", *operator.sql)
    # The first lane that is done is the gate.
    operator.is_killed(lambda: len(operator.lanes_done("loss")) > _BACK, f"{_BACK} servers are back", *run)
    between = operator.status("loss")
    assert between["state"] == "interrupted"
    done = {lane["title"] for lane in between["lanes"] if lane["state"] == "done"}
    assert {"readiness"} < done < set(town.servers) | {"readiness"}, between
    resumed = operator.types("resume", "loss", "-f", "json", *operator.sql)
    assert resumed.code == 0, resumed.err
    assert set(between["completed_steps"]) <= set(operator.status("loss")["completed_steps"])

    assert judge.state(ids) == before
    reboots = {name: judge.reboots(server) for name, server in town.servers.items()}
    assert {name: len(found) for name, found in reboots.items()} == {
        name: 0 if name == "old-1" else 1 for name in town.servers
    }
    _assert_in_order(reboots)
    report = operator.report("loss")
    assert (report["state"], report["exceptions"]) == ("done", [])


def _assert_in_order(reboots: Mapping[str, list[dict[str, Any]]]) -> None:
    """Databases before applications, applications before the web."""
    when = {name: str(found[0]["Start Time"]) for name, found in reboots.items() if found}
    assert when["db-1"] <= when["app-1"] <= when["web-1"], when
    assert when["db-1"] <= when["app-2"] <= when["web-1"], when
