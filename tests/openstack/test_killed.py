"""One run of a procedure on a real OpenStack, whose processes are killed again and again until it is done.

The judge is OpenStack's own client: each effect happened once, and all is as it should be. The servers are the same
for all: the maintenance brings them home, the recovery of the power loss leaves them as they were.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openstack_client import Judge
from openstack_deaths import LEAST, Deaths
from openstack_hosts import Doors
from openstack_moves import Moves, evacuated, evacuations, moved, ways_out, ways_out_and_home, whole
from openstack_operator import Operator
from openstack_town import Servers, Town, make_stale, towns
from truth import left_behind

from stackmend.lab.openstack.control import OpenStackLab

pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
SERVERS: Servers = {
    "db-1": {"host": 0, "root": "volume", "volumes": ["db-1-data"]},
    "app-1": {"host": 0, "volumes": ["app-1-data"], "after": "db-1"},
    "old-1": {"host": 0, "volumes": ["old-1-data"], "stopped": True},
    "peer-1": {"host": 1, "volumes": []},
}
RUNNING = [name for name, spec in SERVERS.items() if not spec.get("stopped")]
Ended = Callable[[Deaths], None]


@pytest.fixture(scope="module")
def village(openstack_lab: OpenStackLab) -> Iterator[Town]:
    """Four servers, built once."""
    with towns(openstack_lab) as make:
        yield make(SERVERS)


@pytest.fixture
def ended(operator: Operator, record_property: Callable[[str, object], None]) -> Ended:
    """Checks what a run itself is at its end, and notes how many died."""

    def check(deaths: Deaths) -> None:
        report = operator.report("work")
        assert (report["state"], report["exceptions"]) == ("done", [])
        assert left_behind(operator.directory / "runs.sqlite") == []
        assert len(deaths.instants) >= LEAST
        record_property("killed", deaths.told)
        record_property("matrix", ["killed on the real OpenStack", deaths.procedure, {"killed": len(deaths.instants)}])

    return check


def test_host_maintenance(
    openstack_lab: OpenStackLab, village: Town, operator: Operator, judge: Judge, tmp_path: Path, ended: Ended
) -> None:
    hosts = openstack_lab.description["hosts"]
    source = hosts[0]
    before, state = judge.places(village.servers, hosts), judge.state(village.ids())
    assert before == whole(SERVERS, before)
    start = ("host-maintenance", source, "--home", "--move-stopped")
    with Doors(openstack_lab, tmp_path, [source]) as doors, Deaths(operator, 390, start) as deaths:
        operator.settings(**doors.settings)
        deaths.until_it_is("awaiting-operator")
        away, machine = judge.places(village.servers, hosts), doors.host(source)
        assert away == {**whole(SERVERS, away), "peer-1": before["peer-1"]}
        assert source not in {row["host"] for row in away.values()}
        assert judge.moves(village.servers, source) == ways_out(SERVERS, away, source)
        assert (machine.running, machine.masked) == (False, True)

        deaths.types_what_it_says()
        deaths.until_it_is("done")
        ended(deaths)
        assert (machine.running, machine.masked) == (True, False)
        assert judge.places(village.servers, hosts) == before
        assert judge.state(village.ids()) == state
        assert judge.moves(village.servers, source) == ways_out_and_home(SERVERS, away, source)
        service = judge.compute(source)
        assert (service["Status"], service["State"], service["Disabled Reason"]) == ("enabled", "up", None)


def test_power_loss(openstack_lab: OpenStackLab, village: Town, operator: Operator, judge: Judge, ended: Ended) -> None:
    hosts, before = openstack_lab.description["hosts"], judge.state(village.ids())
    capture = str(operator.directory / "capture.json")
    operator.settings(databases=operator.databases)
    assert operator.types("capture", "power-loss", "-o", capture).code == 0
    openstack_lab.power_cut(hosts)
    openstack_lab.power_on(hosts=hosts)
    make_stale(openstack_lab, village, busy=["app-1"], lost=["db-1-data", "db-1-root", "old-1-data"])
    assert judge.state(village.ids()) != before

    start = ("power-loss", "--capture", capture, "-p", "ready_interval=0.5")
    with Deaths(operator, 200, start) as deaths:
        deaths.until_it_is("done")
        ended(deaths)
        assert judge.state(village.ids()) == before
        reboots = {name: len(judge.reboots(server)) for name, server in village.servers.items()}
        assert reboots == {name: int(name in RUNNING) for name in SERVERS}


def test_evacuate_host(
    openstack_lab: OpenStackLab, village: Town, operator: Operator, judge: Judge, ended: Ended
) -> None:
    hosts = openstack_lab.description["hosts"]
    source = hosts[0]
    mapped, earlier = judge.state(village.ids())["mapped"], judge.moves(village.servers, source)
    openstack_lab.host(source, "power-off")
    start = ("evacuate-host", source, "--fenced", "its plug is pulled", "--consent", "all")
    with Deaths(operator, 200, start) as deaths:
        deaths.until_it_is("done")
        ended(deaths)
        gone = judge.places(village.servers, hosts)
        assert gone == evacuated(SERVERS, gone, source)
        assert judge.state(village.ids())["mapped"] == mapped
        assert since(earlier, judge.moves(village.servers, source)) == evacuations(SERVERS, gone, source, "done")
        starts = {name: len(judge.events(village.servers[name], "start")) for name in moved(SERVERS)}
        # Nova starts what it evacuates, but not what comes after others.
        assert starts == {name: int("after" in SERVERS[name]) for name in moved(SERVERS)}
        service = judge.compute(source)
        assert (service["Status"], service["State"], service["Forced Down"]) == ("disabled", "down", True)
        assert service["Disabled Reason"].startswith("stackmend: evacuate-host")


def since(earlier: Moves, now: Moves) -> Moves:
    """What is new of nova's records."""
    return {name: found[len(earlier.get(name, [])) :] for name, found in now.items()}
