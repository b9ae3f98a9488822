"""relocate-host on a real OpenStack: killed in the middle, resumed; and the host that returns gives its copies up.

The judge is OpenStack's own client.
"""

from typing import Any

import pytest
from mortality import KILLED
from openstack_client import Judge
from openstack_operator import Operator
from openstack_town import Town
from waiting import until

from stackmend.lab.openstack.control import OpenStackLab

pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
# Those on the second host: with a data volume each, and one volume that is shared with a server of the target.
MOVED = ("app-1", "db-2", "node-1")
# An instant between the first effect of the first server's lane and the last of the last one's.
DIES_AT = 130


def whereabouts(state: dict[str, Any], servers: list[str]) -> dict[str, Any]:
    """Of what the judge saw: where these servers, their volumes and allocations are."""
    return {
        "servers": {(row["Host"], row["Status"]) for server, row in state["servers"].items() if server in servers},
        "volumes": {
            (row["Status"], host)
            for row in state["volumes"].values()
            for server, _, host in row["attached"]
            if server in servers
        },
        "providers": {len(state["allocations"][server]) for server in servers},
    }


def test_killed_resumed_and_the_host_returns(
    openstack_lab: OpenStackLab, town: Town, operator: Operator, judge: Judge
) -> None:
    _, host, target = openstack_lab.description["hosts"]
    moved = town.ids(*MOVED)
    before = judge.state(moved)
    openstack_lab.host(host, "power-off")

    operator.settings(databases=operator.databases)
    words = ["run", "relocate-host", host, "--to", target, "--shared-disks", "--fenced", "power-off", "--yes"]
    life = operator.types(*words, "--key", "move", die_at=DIES_AT)
    assert life.code == KILLED, life.err
    resumed = operator.types("resume", "move", "-f", "json")
    assert resumed.code == 0, resumed.err
    report = operator.report("move")
    assert (report["state"], report["exceptions"]) == ("done", [])

    after = judge.state(moved)
    assert whereabouts(after, moved) == {
        "servers": {(target, "ACTIVE")},
        "volumes": {("in-use", target)},
        "providers": {1},
    }
    assert after["mapped"] == before["mapped"]
    assert [len(judge.reboots(server)) for server in moved] == [1] * len(moved)
    ports, records = judge.ask("port list --long", f"server migration list --host {host}")
    assert {row["Status"] for row in ports} == {"ACTIVE"}
    assert {row["Status"] for row in records} == {"done"}

    openstack_lab.host(host, "power-on")

    def given_up() -> bool:
        (rows,) = judge.ask(f"server migration list --host {host}")
        return {row["Status"] for row in rows} == {"completed"}

    until(given_up, f"{host} gives its copies up", 120)
    assert whereabouts(judge.state(moved), moved) == whereabouts(after, moved)
