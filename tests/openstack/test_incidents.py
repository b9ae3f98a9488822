"""The composed workflows on a real Mistral: a power loss that is told of, a maintenance window, a host's failure.

The judge is OpenStack's own client. The lab's hosts have no SSH server: they are given one here.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from openstack_client import Judge, standing
from openstack_hosts import Doors
from openstack_mistral import Mistral, mistral_beside, ordered
from openstack_moves import ways_out_and_home, whole
from openstack_town import Servers, Town, records, towns
from waiting import until

from stackmend.lab.openstack.control import OpenStackLab

pytestmark = [
    pytest.mark.openstack,
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:::openstack"),
]
SERVERS: Servers = {
    "db-1": {"host": 0, "root": "volume", "volumes": ["db-1-data"]},
    "web-1": {"host": 1, "volumes": []},
}


@pytest.fixture(scope="module")
def town(openstack_lab: OpenStackLab) -> Iterator[Town]:
    """Two servers on two hosts, on a clean lab."""
    with towns(openstack_lab) as make:
        yield make(SERVERS)


@pytest.fixture(scope="module")
def mistral(openstack_lab: OpenStackLab, town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mistral]:
    """Mistral with stackmend beside it, its workbooks, and a worker who can log in to the hosts."""
    directory = tmp_path_factory.mktemp("mistral")
    with (
        Doors(openstack_lab, directory, openstack_lab.description["hosts"]) as doors,
        mistral_beside(openstack_lab, directory, **doors.settings) as found,
    ):
        assert found.types("workbook", "install").returncode == 0
        yield found


class Told(ThreadingHTTPServer):
    """Whoever is to be told of a recovery's end; ``bodies`` are what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[Any] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Told

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """It tells nothing."""


@pytest.fixture
def told() -> Iterator[Told]:
    with Told() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_somebody_is_told_how_a_power_loss_ended_well_or_not(mistral: Mistral, told: Told) -> None:
    given = {"approved": True, "poll_seconds": 1, "notify_url": told.url}
    execution = mistral.start("stackmend-incidents.power-loss", {**given, "key": "dark", "server": ["web-1"]})
    report = json.loads(mistral.until(execution, "SUCCESS")["output"])["report"]
    assert (told.bodies, report["state"], report["key"]) == ([report], "done", "dark")

    execution = mistral.start("stackmend-incidents.power-loss", {**given, "key": "darker", "server": ["web-9"]})
    why = mistral.until(execution, "ERROR")["state_info"]
    assert "there is no server web-9 in this cloud" in why
    assert told.bodies[1:] == [{"key": "darker", "why": told.bodies[1]["why"]}]
    assert told.bodies[1]["why"] in why


def test_a_maintenance_window_takes_one_host_after_another(
    mistral: Mistral, town: Town, openstack_lab: OpenStackLab, judge: Judge
) -> None:
    hosts = openstack_lab.description["hosts"]
    first, second = hosts[:2]
    before = judge.places(town.servers, hosts)
    given = {"hosts": [first, second], "key": "window", "approved": True, "poll_seconds": 1, "home": True}
    execution = mistral.start("stackmend-incidents.maintenance-window", given)
    for host, other in ((first, second), (second, first)):
        mistral.until(execution, "PAUSED", 240)
        assert host not in {row["host"] for row in judge.places(town.servers, hosts).values()}
        assert [judge.compute(name)["Status"] for name in (host, other)] == ["disabled", "enabled"]
        mistral.let_run(execution)
        until(lambda host=host: judge.compute(host)["Status"] == "enabled", f"{host} is back", 240)
    reports = json.loads(mistral.until(execution, "SUCCESS", 240)["output"])["reports"]
    assert [(report["state"], report["key"]) for report in reports] == [
        ("done", f"window/{first}"),
        ("done", f"window/{second}"),
    ]
    assert judge.places(town.servers, hosts) == before == whole(SERVERS, before)
    (out, home) = judge.moves(town.servers, first)["db-1"][:2]
    assert [out, home] == ways_out_and_home(SERVERS, {"db-1": {"host": out[2]}}, first)["db-1"]


def test_a_maintenance_window_stops_at_the_first_host_that_needs_hands(
    mistral: Mistral, openstack_lab: OpenStackLab, judge: Judge
) -> None:
    host = openstack_lab.description["hosts"][0]
    given = {"hosts": ["nowhere", host], "key": "wrong", "approved": True, "poll_seconds": 1}
    execution = mistral.start("stackmend-incidents.maintenance-window", given)
    assert "nowhere" in mistral.until(execution, "ERROR")["state_info"]
    assert judge.compute(host)["Status"] == "enabled"
    assert f"wrong/{host}" not in {key for key, _ in mistral.orders()}


def test_a_host_failure_is_approved_fails_goes_on_by_the_same_run_and_the_host_returns(
    mistral: Mistral, town: Town, openstack_lab: OpenStackLab, judge: Judge
) -> None:
    hosts = openstack_lab.description["hosts"]
    source, before = hosts[0], records(openstack_lab)
    given = {"host": source, "key": "dead", "fenced": "its plug is pulled", "consent": ["all"], "dead_timeout": 5}
    # Who answers by SSH in its name is not on it.
    given |= {"dead": "its plug is pulled", "return_host": True, "poll_seconds": 1}
    execution = mistral.start("stackmend-incidents.host-failure", given)
    mistral.until(execution, "PAUSED")
    assert mistral.task(execution, "approve")["state"] == "IDLE"
    mistral.let_run(execution)
    # The host is not dead at all: nothing may be evacuated.
    failed = mistral.until(execution, "ERROR")
    mend = mistral.task(execution, "mend")
    assert (source in mend["state_info"], mend["state_info"] in failed["state_info"]) == (True, True)
    assert records(openstack_lab) == before

    openstack_lab.host(source, "power-off")
    until(lambda: not mistral.hears(source), f"{source} is silent", 90)
    mistral.run_again(mend)
    # It waits again, for the host to be repaired.
    mistral.until(execution, "PAUSED", 240)
    assert mistral.task(execution, "return")["state"] == "IDLE"
    assert ordered(mistral, "dead") == ["retry", "run"]
    place = judge.places({"db-1": town.servers["db-1"]}, hosts)["db-1"]
    assert place["host"] != source
    assert place == {**standing(place["host"], ["db-1-data", "db-1-root"]), "held_on": sorted([place["host"], source])}
    assert judge.moves(town.servers, source)["db-1"][-1] == ("evacuation", source, place["host"], "done")

    openstack_lab.host(source, "power-on")
    mistral.let_run(execution)
    found = json.loads(mistral.until(execution, "SUCCESS", 240)["output"])
    assert [(found[name]["state"], found[name]["exceptions"]) for name in ("evacuated", "returned")] == [
        ("done", [])
    ] * 2
    service = judge.compute(source)
    assert (service["Status"], service["State"]) == ("enabled", "up")


def test_the_brake_holds_a_second_host_and_says_so(mistral: Mistral, openstack_lab: OpenStackLab) -> None:
    first, second = openstack_lab.description["hosts"][:2]
    before = records(openstack_lab)
    given = {"host": second, "key": "second", "fenced": "so is its plug", "consent": ["all"], "most_hosts": 1}
    execution = mistral.start("stackmend-incidents.host-failure", {**given, "approved": True, "poll_seconds": 1})
    why = mistral.until(execution, "ERROR")["state_info"]
    assert f"the brake holds: 1 other hosts were evacuated in the last 1 h ({first})" in why
    assert records(openstack_lab) == before
