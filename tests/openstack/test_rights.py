"""Procedures on a real OpenStack by an account that may do what the page of rights says, and nothing else.

The servers are another project's. The judge is OpenStack's own client, which signs in as the administrator.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from openstack_client import Judge
from openstack_hosts import Doors
from openstack_moves import evacuated, evacuations, moved, ways_out_and_home, whole
from openstack_operator import Operator, operator_of
from openstack_rights import Account, account_of
from openstack_town import Servers, Town, make_stale, towns

from stackmend.errors import BadInput, Unauthorized
from stackmend.flows.rights import RIGHTS
from stackmend.lab.openstack.control import OpenStackLab
from stackmend.lab.openstack.releases import NEWEST

pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
SERVERS: Servers = {
    "db-1": {"host": 0, "root": "volume", "volumes": ["db-1-data"]},
    "app-1": {"host": 0, "volumes": ["app-1-data"], "after": "db-1"},
    "old-1": {"host": 0, "volumes": ["old-1-data"], "stopped": True},
    "peer-1": {"host": 1, "volumes": ["peer-1-data"]},
    "peer-2": {"host": 2, "volumes": ["peer-2-data"]},
}
MOVED = moved(SERVERS)
DONE_WITH_EXCEPTIONS, AWAITING_OPERATOR = 3, 6
RESTORES = RIGHTS["power-loss"].grants["cinder.volume_attachment"][1]


@pytest.fixture(scope="module")
def town(openstack_lab: OpenStackLab) -> Iterator[Town]:
    """Three servers on one host, and one on each of the others."""
    with towns(openstack_lab) as make:
        yield make(SERVERS)


@pytest.fixture(scope="module")
def account(openstack_lab: OpenStackLab, town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account with one role of its own."""
    with account_of(openstack_lab, tmp_path_factory.mktemp("account")) as found:
        yield found


@pytest.fixture
def operator(openstack_lab: OpenStackLab, account: Account, tmp_path: Path) -> Iterator[Operator]:
    """Whoever signs in as it."""
    with operator_of(openstack_lab, tmp_path) as found:
        found.environment.update(account.environment)
        yield found


def test_the_newest_release_has_each_rule_by_its_name(openstack_lab: OpenStackLab, account: Account) -> None:
    if openstack_lab.description["release"] != NEWEST:
        pytest.skip("an older release has not all of them")
    assert account.unknown() == set()


def test_power_loss(
    openstack_lab: OpenStackLab, town: Town, account: Account, operator: Operator, judge: Judge
) -> None:
    before = judge.state(town.ids())
    account.may("power-loss")
    operator.settings(databases=account.grants("power-loss"))
    capture = str(operator.directory / "capture.json")
    assert operator.types("capture", "power-loss", "-o", capture).code == 0
    make_stale(openstack_lab, town, busy=["app-1"], failed=["app-1-data"], lost=["db-1-data", "old-1-data"])
    assert judge.state(town.ids()) != before
    account.revoke(f"{RESTORES} ON cinder.volume_attachment")
    run = ("run", "power-loss", "--yes", "--key", "work", "--capture", capture, "-p", "ready_interval=0.5")
    assert operator.types(*run).code == DONE_WITH_EXCEPTIONS
    denied = [item["error"] for item in operator.report("work")["exceptions"]]
    assert denied
    assert all("UPDATE command denied" in error for error in denied), denied

    account.grants("power-loss")
    operator.finds("retry", "work")
    assert operator.report("work")["exceptions"] == []
    assert judge.state(town.ids()) == before


def test_host_maintenance(
    openstack_lab: OpenStackLab, town: Town, account: Account, operator: Operator, judge: Judge, tmp_path: Path
) -> None:
    hosts, source = openstack_lab.description["hosts"], openstack_lab.description["hosts"][0]
    before = judge.places(town.servers, hosts)
    account.may("host-maintenance")
    with Doors(openstack_lab, tmp_path, [source]) as doors:
        operator.settings(**doors.settings)
        held = operator.types("run", "host-maintenance", source, "--home", "--move-stopped", "--yes", "--key", "work")
        assert held.code == AWAITING_OPERATOR, held.err
        away = judge.places(town.servers, hosts)
        assert operator.types("approve", "work", "--reason", "it is repaired").code == 0
        operator.finds("resume", "work")
    assert operator.report("work")["exceptions"] == []
    assert judge.places(town.servers, hosts) == before == whole(SERVERS, before)
    assert judge.moves(town.servers, source) == ways_out_and_home(SERVERS, away, source)


def test_evacuate_host_and_its_return(
    openstack_lab: OpenStackLab, town: Town, account: Account, operator: Operator, judge: Judge, tmp_path: Path
) -> None:
    hosts, source = openstack_lab.description["hosts"], openstack_lab.description["hosts"][0]
    account.may("evacuate-host")
    openstack_lab.host(source, "power-off")
    words = ("evacuate-host", source, "--fenced", "its plug is pulled", "--consent", "all", "--yes")
    operator.finds("run", *words, "--key", "dead")
    assert operator.report("dead")["exceptions"] == []
    gone = judge.places(town.servers, hosts)
    assert gone == evacuated(SERVERS, gone, source)
    # Of a guest that has left nova's fake driver keeps a copy: an evacuation to there fails, and is sent elsewhere.
    now = {name: found[-1:] for name, found in judge.moves(town.servers, source).items()}
    assert now == evacuations(SERVERS, gone, source, "done")

    account.may("host-return")
    openstack_lab.host(source, "power-on")
    with Doors(openstack_lab, tmp_path, [source]) as doors:
        operator.settings(**doors.settings)
        operator.finds("run", "host-return", source, "--yes", "--key", "back")
    assert operator.report("back")["exceptions"] == []
    assert judge.places(town.servers, hosts) == whole(SERVERS, gone)
    service = judge.compute(source)
    assert (service["Status"], service["State"]) == ("enabled", "up")


def test_migrate_servers(
    openstack_lab: OpenStackLab, town: Town, account: Account, operator: Operator, judge: Judge
) -> None:
    hosts = openstack_lab.description["hosts"]
    before = judge.places(town.servers, hosts)
    account.may("migrate-servers")
    named = [word for name in MOVED for word in ("--server", name)]
    operator.finds("run", "migrate-servers", *named, "--cold", "app-1", "--yes", "--key", "moved")
    assert operator.report("moved")["exceptions"] == []
    there = judge.places(town.servers, hosts)
    assert there == whole(SERVERS, there)
    assert {name for name, row in there.items() if row["host"] != before[name]["host"]} == set(MOVED)


def test_reattach_volumes(
    openstack_lab: OpenStackLab, town: Town, account: Account, operator: Operator, judge: Judge
) -> None:
    before = judge.state(town.ids())
    capture = str(operator.directory / "capture.json")
    account.may("reattach-volumes")
    operator.settings(databases=account.grants("reattach-volumes"))
    assert operator.types("capture", "power-loss", "-o", capture).code == 0
    make_stale(openstack_lab, town, busy=[], lost=["db-1-data"])
    town.take_off("app-1", "app-1-data")
    assert judge.state(town.ids()) != before
    operator.finds("run", "reattach-volumes", "--yes", "--capture", capture, "--key", "disks")
    assert operator.report("disks")["exceptions"] == []
    assert judge.state(town.ids()) == before


@pytest.mark.parametrize(
    ("procedure", "rule"),
    [
        ("migrate-servers", "os_compute_api:servers:detail:get_all_tenants"),
        ("migrate-servers", "os_compute_api:os-services:list"),
        ("migrate-servers", "os_compute_api:os-server-groups:index:all_projects"),
        ("migrate-servers", "volume:get_all"),
        ("migrate-servers", "placement:allocation_candidates:list"),
        ("power-loss", "os_compute_api:os-volumes-attachments:index"),
    ],
)
def test_a_plan_without_a_right_names_it(
    town: Town, account: Account, operator: Operator, procedure: str, rule: str
) -> None:
    account.may(procedure, but=[rule])
    told = operator.types("plan", procedure, "--server", "app-1")
    assert told.code == Unauthorized("").exit_code, told.err
    assert (rule in told.err, "Traceback" in told.err) == (True, False), told.err


def test_a_plan_without_a_grant_names_the_table(town: Town, account: Account, operator: Operator) -> None:
    account.may("power-loss")
    operator.settings(databases=account.grants("power-loss"))
    account.revoke("SELECT ON nova.block_device_mapping")
    told = operator.types("plan", "power-loss")
    assert told.code == BadInput("").exit_code, told.err
    assert "nova database has no table block_device_mapping that this account may read" in told.err


@pytest.mark.parametrize(
    ("rule", "check", "said"),
    [
        ("os_compute_api:os-hypervisors:list-detail", "rights", "os_compute_api:os-hypervisors:list-detail"),
        ("cinder/context_is_admin", "volumes", "cinder's context_is_admin"),
        ("get_port", "ports", "neutron's context_is_admin, and get_port"),
        ("get_port:binding:host_id", "ports", "get_port:binding:host_id"),
        ("get_agent", "services", "no neutron agent is alive"),
    ],
)
def test_doctor_says_what_is_missing(
    town: Town, account: Account, operator: Operator, rule: str, check: str, said: str
) -> None:
    account.may("evacuate-host", but=[rule])
    told = operator.types("doctor", "-f", "json")
    failed = {item["check"]: item["found"] for item in json.loads(told.out) if not item["ok"]}
    assert said in failed[check]


def test_relocate_host(
    openstack_lab: OpenStackLab, town: Town, account: Account, operator: Operator, judge: Judge
) -> None:
    hosts = openstack_lab.description["hosts"]
    before = judge.places(town.servers, hosts)
    source = before["app-1"]["host"]
    # How a host connects volumes is read from those that it has.
    target = next(before[name]["host"] for name in ("peer-1", "peer-2") if before[name]["host"] != source)
    account.may("relocate-host")
    operator.settings(databases=account.grants("relocate-host"))
    openstack_lab.host(source, "power-off")
    words = ("relocate-host", source, "--to", target, "--shared-disks", "--fenced", "its plug is pulled", "--yes")
    operator.finds("run", *words, "--key", "moved")
    assert operator.report("moved")["exceptions"] == []
    there = judge.places(town.servers, hosts)
    assert there == whole(SERVERS, there)
    assert {name: row["host"] for name, row in there.items()} == {
        name: target if row["host"] == source else row["host"] for name, row in before.items()
    }
