"""host-maintenance on a real OpenStack: a host is emptied, held and comes back, its servers too; killed on the way.

The judge is OpenStack's own client. The lab's hosts have no SSH server: they are given one here.
"""

from pathlib import Path

import pytest
from openstack_client import Judge
from openstack_hosts import Doors
from openstack_moves import moved, ways_out, ways_out_and_home, whole
from openstack_operator import Operator
from openstack_town import MakeTown, Servers, records

from stackmend.lab.openstack.control import OpenStackLab

pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
SERVERS: Servers = {
    "db-1": {"host": 0, "root": "volume", "volumes": ["db-1-data"]},
    "app-1": {"host": 0, "volumes": ["app-1-data"]},
    "web-1": {"host": 0, "volumes": ["web-1-data"]},
    "old-1": {"host": 0, "volumes": ["old-1-data"], "stopped": True},
    "peer-1": {"host": 1, "volumes": []},
}
MOVED = moved(SERVERS)
AWAITING_OPERATOR = 6


def test_out_killed_resumed_and_home(
    openstack_lab: OpenStackLab, make_town: MakeTown, operator: Operator, judge: Judge, tmp_path: Path
) -> None:
    town, hosts = make_town(SERVERS), openstack_lab.description["hosts"]
    source = hosts[0]
    before, state = judge.places(town.servers, hosts), judge.state(town.ids())
    assert before == whole(SERVERS, before)
    with Doors(openstack_lab, tmp_path, [source]) as doors:
        operator.settings(**doors.settings)
        machine = doors.host(source)
        words = ("host-maintenance", source, "--home", "--move-stopped", "--note", "new disk")

        def one_is_gone() -> bool:
            return "completed" in [status for _, status in records(openstack_lab)]

        operator.is_killed(one_is_gone, "a server has left", "run", *words, "--yes", "--key", "work")
        assert len([status for _, status in records(openstack_lab) if status in ("completed", "confirmed")]) < len(
            MOVED
        )
        assert operator.status("work")["state"] == "interrupted"
        held = operator.types("resume", "work", "-f", "json")
        assert held.code == AWAITING_OPERATOR, held.err

        away = judge.places(town.servers, hosts)
        assert away == whole(SERVERS, away)
        assert source not in {row["host"] for row in away.values()}
        assert away["peer-1"] == before["peer-1"]
        assert judge.moves(town.servers, source) == ways_out(SERVERS, away, source)
        assert (machine.running, machine.masked) == (False, True)
        service = judge.compute(source)
        assert service["Status"] == "disabled"
        assert service["Disabled Reason"].startswith("stackmend: host-maintenance")
        assert service["Disabled Reason"].endswith("new disk")

        assert operator.types("approve", "work", "--reason", "disk changed").code == 0
        operator.finds("resume", "work")
        assert (machine.running, machine.masked) == (True, False)
        assert len([command for command in doors.commands(source) if "mask" in command]) == 2
    report = operator.report("work")
    assert (report["state"], report["exceptions"]) == ("done", [])
    assert judge.places(town.servers, hosts) == before
    assert judge.state(town.ids()) == state
    assert judge.moves(town.servers, source) == ways_out_and_home(SERVERS, away, source)
    service = judge.compute(source)
    assert (service["Status"], service["State"], service["Disabled Reason"]) == ("enabled", "up", None)
