"""evacuate-host and host-return on a real OpenStack: a host dies, the evacuation is killed and resumed, it comes back.

The judge is OpenStack's own client.
"""

from pathlib import Path

import pytest
from openstack_client import Judge
from openstack_hosts import Doors
from openstack_moves import evacuated, evacuations, moved, whole
from openstack_operator import Operator
from openstack_town import MakeTown, Servers, records

from stackmend.lab.openstack.control import OpenStackLab

pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
SERVERS: Servers = {
    "db-1": {"host": 0, "root": "volume", "volumes": ["db-1-data"]},
    "db-2": {"host": 0, "root": "volume", "volumes": ["db-2-data"]},
    "app-1": {"host": 0, "volumes": ["app-1-data"], "after": "db-1"},
    "web-1": {"host": 0, "volumes": ["web-1-data"], "after": "app-1"},
    "old-1": {"host": 0, "volumes": ["old-1-data"], "stopped": True},
    "twin-1": {"host": 0, "volumes": ["twin-1-data"], "apart": "twins"},
    "twin-2": {"host": 1, "volumes": [], "apart": "twins"},
}
MOVED = moved(SERVERS)


def test_killed_resumed_and_the_host_returns(
    openstack_lab: OpenStackLab, make_town: MakeTown, operator: Operator, judge: Judge, tmp_path: Path
) -> None:
    town, hosts = make_town(SERVERS), openstack_lab.description["hosts"]
    source, second, third = hosts
    mapped = judge.state(town.ids())["mapped"]
    openstack_lab.host(source, "power-off")
    words = ("evacuate-host", source, "--fenced", "its plug is pulled", "--consent", "all")
    plan = operator.finds("plan", *words)
    assert {item["title"]: item["verdict"] for item in plan["verdicts"]} == dict.fromkeys(MOVED, "ready")

    def one_is_there() -> bool:
        return "done" in [status for _, status in records(openstack_lab)]

    # So that some are still under way, and others not yet begun, when the first one is there.
    operator.settings(lanes=3)
    operator.is_killed(one_is_there, "a server is evacuated", "run", *words, "--yes", "--key", "dead")
    assert [status for _, status in records(openstack_lab)].count("done") < len(MOVED)
    operator.settings()
    assert operator.status("dead")["state"] == "interrupted"
    operator.finds("resume", "dead")
    report = operator.report("dead")
    assert (report["state"], report["exceptions"]) == ("done", [])

    gone = judge.places(town.servers, hosts)
    assert gone == evacuated(SERVERS, gone, source)
    assert (gone["twin-1"]["host"], gone["twin-2"]["host"]) == (third, second)
    assert judge.state(town.ids())["mapped"] == mapped
    assert judge.moves(town.servers, source) == evacuations(SERVERS, gone, source, "done")
    starts = {name: judge.events(town.servers[name], "start") for name in MOVED}
    # Nova starts what it evacuates, but not what comes after others.
    assert {name: len(found) for name, found in starts.items()} == {
        name: int("after" in SERVERS[name]) for name in MOVED
    }
    when = {name: found[0]["Start Time"] for name, found in starts.items() if found}
    assert when["app-1"] <= when["web-1"], when
    service = judge.compute(source)
    assert (service["Status"], service["State"], service["Forced Down"]) == ("disabled", "down", True)
    assert service["Disabled Reason"].startswith("stackmend: evacuate-host")

    openstack_lab.host(source, "power-on")
    with Doors(openstack_lab, tmp_path, [source]) as doors:
        operator.settings(**doors.settings)
        operator.finds("run", "host-return", source, "--yes", "--key", "back")
    report = operator.report("back")
    assert (report["state"], report["exceptions"]) == ("done", [])
    assert judge.places(town.servers, hosts) == whole(SERVERS, gone)
    assert judge.moves(town.servers, source) == evacuations(SERVERS, gone, source, "completed")
    service = judge.compute(source)
    assert (service["Status"], service["State"], service["Forced Down"]) == ("enabled", "up", False)
    assert judge.used(source) == {"VCPU": 0, "MEMORY_MB": 0, "DISK_GB": 0}
