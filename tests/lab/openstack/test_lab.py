"""A real OpenStack: everything works, breaks as it is told, comes back, and is clean again after a reset."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from openstack.config import OpenStackConfig
from openstack.connection import Connection
from openstack.exceptions import ForbiddenException
from sqlalchemy import create_engine, text
from waiting import until

from stackmend.lab.openstack import health
from stackmend.lab.openstack.control import OpenStackLab
from stackmend.lab.openstack.services.neutron import AGENT

pytestmark = [
    pytest.mark.openstack,
    # openstacksdk warns of its own defaults and calls, whatever one does.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]
C01, C02, C03 = "c01.example.com", "c02.example.com", "c03.example.com"
APIS = ("identity", "placement", "compute", "network", "volume", "image")
_BASE = ("nova", "nova_api", "nova_cell0", "cinder", "neutron", "placement", "keystone")


@pytest.fixture(scope="module", autouse=True)
def base(openstack_lab: OpenStackLab) -> dict[str, int]:
    """The rows of a clean lab; one that is named may hold what others left."""
    openstack_lab.reset()
    return rows(openstack_lab)


@pytest.fixture
def lab(openstack_lab: OpenStackLab) -> Iterator[OpenStackLab]:
    """The lab, with everything at work before and after."""
    yield openstack_lab
    assert away(openstack_lab) == {}


def away(lab: OpenStackLab) -> dict[str, str]:
    """What does not work, by name."""
    return {row["name"]: row["state"] for row in lab.status() if row["state"] != "running"}


def openstack(lab: OpenStackLab, *words: str, cloud: str = "lab") -> str:
    """What the lab's own client answers."""
    env = lab.environment(cloud)
    done = subprocess.run([lab.client, *words], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def clouds(openstack_lab: OpenStackLab) -> Iterator[dict[str, Any]]:
    """The cloud as an administrator (``lab``) and as a member of another project see it."""
    config = OpenStackConfig([openstack_lab.description["clouds_yaml"]], load_envvars=False)
    with ExitStack() as stack:
        yield {name: stack.enter_context(Connection(config=config.get_one(name))) for name in ("lab", "lab-member")}


@pytest.fixture(scope="module")
def cloud(clouds: dict[str, Any]) -> Any:
    """The cloud, as an administrator sees it."""
    found = clouds["lab"]
    found.compute.default_microversion = "2.95"
    return found


@pytest.fixture(scope="module")
def kept(cloud: Any) -> Iterator[str]:
    """A server on the first host, for those tests that leave it there."""
    made = boot(cloud, "guest")
    yield made
    delete(cloud, made)


@pytest.fixture
def guest(cloud: Any, kept: str) -> str:
    """It, running."""
    cloud.compute.reboot_server(kept, "HARD")
    becomes(cloud, kept, "ACTIVE")
    return kept


def boot(cloud: Any, name: str) -> str:
    """Id of a new server that is active on the first host."""
    made = cloud.compute.create_server(
        name=name,
        flavor_id=cloud.compute.find_flavor("tiny").id,
        image_id=cloud.image.find_image("dummy").id,
        networks=[{"uuid": cloud.network.find_network("net1").id}],
        host=C01,
    )
    return str(cloud.compute.wait_for_server(made, interval=0.2, wait=180).id)


def delete(cloud: Any, server: str) -> None:
    """Delete a server, and return when it is gone."""
    found = cloud.compute.get_server(server)
    cloud.compute.delete_server(found)
    cloud.compute.wait_for_delete(found, interval=0.2, wait=180)


def becomes(cloud: Any, server: str, status: str) -> None:
    """Wait until a server has a status and nothing is going on."""

    def is_so() -> bool:
        found = cloud.compute.get_server(server)
        return (found.status, found.task_state) == (status, None)

    until(is_so, f"server {server} is {status}", 180)


def answers(lab: OpenStackLab, service: str) -> bool:
    return health.answers(lab.description["urls"][service] + "/", timeout=10)


def rows(lab: OpenStackLab) -> dict[str, int]:
    """How many rows each table has that has any."""
    counted: dict[str, int] = {}
    for name in _BASE:
        engine = create_engine(lab.description["databases"][name])
        with engine.connect() as link:
            tables = [row[0] for row in link.execute(text("SHOW TABLES"))]
            for table in tables:
                counted[f"{name}.{table}"] = int(link.execute(text(f"SELECT COUNT(*) FROM `{table}`")).scalar_one())
        engine.dispose()
    return {table: count for table, count in counted.items() if count}


def heartbeat(lab: OpenStackLab, host: str) -> Any:
    engine = create_engine(lab.description["databases"]["nova"])
    query = "SELECT last_seen_up FROM services WHERE `binary` = 'nova-compute' AND host = :host"
    with engine.connect() as link:
        seen = link.execute(text(query), {"host": host}).scalar_one()
    engine.dispose()
    return seen


def test_everything_works(lab: OpenStackLab, cloud: Any) -> None:
    assert away(lab) == {}
    assert [service for service in APIS if not answers(lab, service)] == []
    services = openstack(lab, "compute", "service", "list", "-f", "value", "-c", "Binary", "-c", "Host", "-c", "State")
    assert sorted(line.split()[1] for line in services.splitlines() if line.endswith(" up")) == [
        *(C01, C02, C03),
        *["ctl.example.com"] * 2,
    ]
    delete(cloud, boot(cloud, "works"))


def test_a_reset_leaves_exactly_the_base(lab: OpenStackLab, cloud: Any, base: dict[str, int]) -> None:
    boot(cloud, "litter")
    cloud.block_storage.create_volume(name="litter", size=1)
    cloud.compute.create_aggregate(name="litter")
    lab.host(C02, "partition")
    lab.host(C03, "power-off")
    lab.service("image", up=False)
    lab.slow("volume", 30)
    lab.reset()
    assert away(lab) == {}
    assert rows(lab) == base
    assert list(cloud.compute.servers(all_projects=True)) == []
    assert list(cloud.block_storage.volumes(all_projects=True)) == []
    assert list(cloud.compute.aggregates()) == []
    assert base["nova.compute_nodes"] == 3
    assert "nova.instances" not in base
    delete(cloud, boot(cloud, "again"))


def test_up_on_a_lab_that_is_up_changes_nothing(lab: OpenStackLab) -> None:
    before = {row["name"]: row["pid"] for row in lab.status()}
    lab.up()
    assert {row["name"]: row["pid"] for row in lab.status()} == before


def test_a_member_is_no_administrator(lab: OpenStackLab, clouds: dict[str, Any]) -> None:
    assert openstack(lab, "network", "list", "-f", "value", "-c", "Name", cloud="lab-member") == "net1"
    with pytest.raises(ForbiddenException):
        list(clouds["lab-member"].compute.services())


def test_a_killed_compute_process_comes_back_without_its_guests(lab: OpenStackLab, cloud: Any, guest: str) -> None:
    assert lab.host(C01, "kill") == {"name": C01, "compute_alive": False}
    assert away(lab) == {f"nova-compute@{C01}": "stopped"}
    assert lab.host(C01, "start") == {"name": C01, "compute_alive": True}
    cloud.compute.reboot_server(guest, "HARD")
    becomes(cloud, guest, "ACTIVE")


def test_a_partitioned_host_is_silent_and_its_guests_go_on(lab: OpenStackLab, cloud: Any, guest: str) -> None:
    assert lab.host(C01, "partition")["compute_alive"] is False
    assert away(lab) == {f"nova-compute@{C01}": "paused", f"{AGENT}@{C01}": "silent"}
    seen = heartbeat(lab, C01)
    until(lambda: heartbeat(lab, C02) > seen, "another host reports")
    assert heartbeat(lab, C01) == seen
    assert lab.host(C01, "join")["compute_alive"] is True
    cloud.compute.stop_server(guest)
    becomes(cloud, guest, "SHUTOFF")


def test_power_is_cut_from_hosts_and_given_back(lab: OpenStackLab, guest: str) -> None:
    assert lab.power_cut([C01, C03]) == {"guests": [guest]}
    assert set(away(lab)) == {f"{binary}@{host}" for binary in ("nova-compute", AGENT) for host in (C01, C03)}
    assert lab.power_on(hosts=[C01, C03])["hosts"] == [C01, C03]
    lab.host(C01, "power-off")
    lab.host(C01, "power-on")


def test_an_agent_goes_silent_and_is_heard_again(lab: OpenStackLab) -> None:
    lab.host(C03, "kill", binary=AGENT)
    assert away(lab) == {f"{AGENT}@{C03}": "silent"}
    lab.host(C03, "start", binary=AGENT)


@pytest.mark.parametrize("service", APIS)
def test_an_api_refuses_connections_and_answers_again(lab: OpenStackLab, service: str) -> None:
    assert service not in lab.service(service, up=False)["services"]
    assert not answers(lab, service)
    assert service in lab.service(service, up=True)["services"]
    assert answers(lab, service)


def test_an_api_answers_late_and_in_time_again(lab: OpenStackLab) -> None:
    lab.slow("compute", 1.5)
    began = time.monotonic()
    assert answers(lab, "compute")
    assert time.monotonic() - began >= 1.5
    assert away(lab) == {"nova-api": "slow"}
    lab.slow("compute", 0)
    began = time.monotonic()
    assert answers(lab, "compute")
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("store", ["database", "messages"])
def test_a_store_goes_and_comes_back(lab: OpenStackLab, cloud: Any, store: str) -> None:
    assert store not in lab.service(store, up=False)["services"]
    assert store in lab.service(store, up=True)["services"]
    delete(cloud, boot(cloud, f"after-{store}"))


def test_a_controllers_process_dies_and_is_started(lab: OpenStackLab) -> None:
    lab.host("ctl.example.com", "kill", binary="cinder-volume")
    assert away(lab) == {"cinder-volume": "stopped"}
    lab.host("ctl.example.com", "start", binary="cinder-volume")


def test_everything_loses_its_power_and_comes_back_but_for_what_stays_away(
    lab: OpenStackLab, cloud: Any, guest: str
) -> None:
    assert lab.power_cut() == {"guests": [guest]}
    assert {row["state"] for row in lab.status()} == {"stopped"}
    on = lab.power_on(without=["volume", C03, f"nova-compute@{C02}"])
    assert on["hosts"] == [C01, C02]
    stopped = {f"nova-compute@{C02}": "stopped", f"nova-compute@{C03}": "stopped", "cinder-api": "stopped"}
    assert away(lab) == {**stopped, f"{AGENT}@{C03}": "silent"}
    lab.power_on()
    becomes(cloud, guest, "ACTIVE")
