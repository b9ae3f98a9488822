"""migrate-servers on a real OpenStack: live to a host that is named and to the scheduler's choice, and cold.

The judge is OpenStack's own client.
"""

import pytest
from openstack_client import Judge, standing
from openstack_operator import Operator
from openstack_town import MakeTown, Servers

from stackmend.lab.openstack.control import OpenStackLab

pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
SERVERS: Servers = {
    "named-1": {"host": 0, "root": "volume", "volumes": ["named-1-data"]},
    "live-1": {"host": 0, "volumes": ["live-1-data"]},
    "cold-1": {"host": 0, "volumes": ["cold-1-data"]},
    "old-1": {"host": 0, "volumes": ["old-1-data"], "stopped": True},
    "peer-1": {"host": 1, "volumes": []},
}
LIVE, COLD = ("live-migration", "completed"), ("migration", "confirmed")


def test_each_moves_once_and_is_whole(
    openstack_lab: OpenStackLab, make_town: MakeTown, operator: Operator, judge: Judge
) -> None:
    town, hosts = make_town(SERVERS), openstack_lab.description["hosts"]
    source, second, third = hosts
    mapped = judge.state(town.ids())["mapped"]

    operator.finds("run", "migrate-servers", "--server", "named-1", "--to", third, "--yes", "--key", "named")
    operator.finds("run", "migrate-servers", "--host", source, "--cold", "cold-1", "--yes", "--key", "rest")
    for key in ("named", "rest"):
        report = operator.report(key)
        assert (report["state"], report["exceptions"]) == ("done", [])

    found = judge.places(town.servers, hosts)
    there = {name: row["host"] for name, row in found.items()}
    assert (there["named-1"], there["peer-1"]) == (third, second)
    assert source not in there.values()
    assert found == {
        "named-1": standing(third, ["named-1-data", "named-1-root"]),
        "live-1": standing(there["live-1"], ["live-1-data"]),
        "cold-1": standing(there["cold-1"], ["cold-1-data"]),
        "old-1": standing(there["old-1"], ["old-1-data"], "SHUTOFF"),
        "peer-1": standing(second, []),
    }
    assert judge.state(town.ids())["mapped"] == mapped
    ways = {"named-1": LIVE, "live-1": LIVE, "cold-1": COLD, "old-1": COLD}
    assert judge.moves(town.servers, source) == {
        name: [(kind, source, there[name], end)] for name, (kind, end) in ways.items()
    }
    assert judge.used(source) == {"VCPU": 0, "MEMORY_MB": 0, "DISK_GB": 0}
