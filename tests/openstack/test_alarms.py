"""A compute host dies, somebody's alarm starts Mistral's workflow, the host is fenced and its servers come back.

Three who notice it: Aodh, Alertmanager, a monitor of Masakari's. The judges are OpenStack's own client and the
controller of the host's power.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import bmc
from openstack_alarms import WORKFLOW, Watch, all_return, watched
from openstack_client import Judge, standing
from openstack_mistral import Mistral, mistral_beside
from openstack_town import Servers, Town, towns
from waiting import until

from stackmend.alarms.ledger import QUIET, SAME, STARTED
from stackmend.lab.openstack.control import OpenStackLab

pytestmark = [pytest.mark.openstack, pytest.mark.hosts, pytest.mark.filterwarnings("ignore:::openstack")]
SERVERS: Servers = {
    "db-1": {"host": 0, "root": "volume", "volumes": ["db-1-data"]},
    "web-1": {"host": 0, "root": "volume", "volumes": [], "after": "db-1"},
    "db-2": {"host": 1, "root": "volume", "volumes": ["db-2-data"]},
    "db-3": {"host": 2, "root": "volume", "volumes": ["db-3-data"]},
}
VOLUMES = {name: sorted([*spec["volumes"], f"{name}-root"]) for name, spec in SERVERS.items()}
Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def town(openstack_lab: OpenStackLab) -> Iterator[Town]:
    """Servers on each of three hosts, their disks in volumes."""
    with towns(openstack_lab) as make:
        yield make(SERVERS)


@pytest.fixture(scope="module")
def power(openstack_lab: OpenStackLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of the controller of every host's power, and the inventory that names it."""
    if what := bmc.missing():
        pytest.fail(f"{what} (or leave these tests out: -m 'not hosts')")
    directory = tmp_path_factory.mktemp("bmc")
    (directory / "secret").write_text(bmc.SECRET)
    hosts = openstack_lab.description["hosts"]
    with bmc.redfish(directory, *hosts) as port:
        login = {"ip": "127.0.0.1", "ipport": port, "username": bmc.USER, "password_file": str(directory / "secret")}
        usual = {"fence": {"agent": "/usr/sbin/fence_redfish", "options": {**login, "ssl_insecure": True}}}
        uris = {host: {"fence": {"options": {"systems_uri": f"/redfish/v1/Systems/{host}"}}} for host in hosts}
        inventory = directory / "inventory.yaml"
        inventory.write_text(yaml.safe_dump({"defaults": usual, "hosts": uris}), encoding="utf-8")
        yield port, inventory


@pytest.fixture(scope="module")
def mistral(
    openstack_lab: OpenStackLab, town: Town, power: tuple[int, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mistral]:
    """Mistral with stackmend beside it, its workbooks, and a worker that knows how to fence; and Aodh."""
    directory = tmp_path_factory.mktemp("mistral")
    with mistral_beside(openstack_lab, directory, "aodh", inventory=str(power[1])) as found:
        assert found.types("workbook", "install").returncode == 0
        yield found


@pytest.fixture(scope="module")
def watch(openstack_lab: OpenStackLab, mistral: Mistral) -> Iterator[Watch]:
    """The listener, and who sends it alarms."""
    with watched(openstack_lab, mistral) as found:
        yield found


@pytest.mark.parametrize(
    ("number", "sender"),
    [
        (0, "aodh"),
        pytest.param(1, "alertmanager", marks=pytest.mark.long),
        pytest.param(2, "masakari", marks=pytest.mark.long),
    ],
)
def test_from_an_alarm_to_the_last_server(
    openstack_lab: OpenStackLab,
    town: Town,
    power: tuple[int, Path],
    mistral: Mistral,
    watch: Watch,
    judge: Judge,
    number: int,
    sender: str,
    record_property: Note,
) -> None:
    all_return(openstack_lab, mistral)
    hosts = openstack_lab.description["hosts"]
    source = hosts[number]
    here = {row.id for row in mistral.cloud.compute.servers(all_projects=True) if row.compute_host == source}
    lost = {name: server for name, server in town.servers.items() if server in here}
    assert lost
    assert bmc.power(power[0], source) == "On"
    openstack_lab.host(source, "power-off")
    began = time.monotonic()
    watch.senders[sender](source)
    execution = until(lambda: started(watch, source), "the alarm has started an execution", 30)
    assert mistral.ask("GET", f"/executions/{execution}")["workflow_name"] == WORKFLOW
    # It is told again, as whoever watches does for as long as the host is down.
    watch.senders[sender](source)
    seen, up, ended = followed(mistral, source, execution, set(lost.values()))
    report = json.loads(ended["output"])["evacuated"]
    assert (report["state"], report["exceptions"]) == ("done", [])

    assert bmc.power(power[0], source) == "Off"
    there, moves = judge.places(lost, hosts), judge.moves(town.servers, source)
    for name, place in there.items():
        assert place == {**standing(place["host"], VOLUMES[name]), "held_on": sorted({place["host"], source})}
        assert moves[name][-1] == ("evacuation", source, place["host"], "done")
    until(lambda: len(watch.verdicts(source)) == 2, "the second alarm is decided")
    first, second = watch.verdicts(source)
    assert first == (STARTED, execution)
    # By then Mistral has taken it, or not yet.
    assert second in [(SAME, None), (QUIET, None)]
    done = mistral.ask("GET", f"/executions?workflow_name={WORKFLOW}")["executions"]
    assert len(done) == number + 1
    record_property(
        "alarm", f"{sender}: {up - began:.1f} s to the last of {len(lost)}, {seen - began:.1f} s to a dead host"
    )


def started(watch: Watch, host: str) -> str | None:
    """The execution that the first alarm about a host has started."""
    found = watch.verdicts(host)
    return found[0][1] if found and found[0][0] == STARTED else None


def followed(mistral: Mistral, host: str, execution: str, servers: set[str]) -> tuple[float, float, dict[str, Any]]:
    """When nova and neutron had both missed the host, when the last server was up, and the execution at its end."""
    seen = up = 0.0

    def over() -> dict[str, Any] | None:
        nonlocal seen, up
        if not seen and not mistral.hears(host):
            seen = time.monotonic()
        if not is_up(mistral, host, servers):
            up = 0.0
        elif not up:
            up = time.monotonic()
        found: dict[str, Any] = mistral.ask("GET", f"/executions/{execution}")
        assert found["state"] in ("RUNNING", "SUCCESS"), (found["state"], found["state_info"])
        return found if found["state"] == "SUCCESS" else None

    ended = until(over, f"{host} is evacuated", 240)
    return seen, up, ended


def executions(mistral: Mistral, host: str) -> list[str]:
    """Every execution for a host that Mistral has had."""
    found = mistral.ask("GET", f"/executions?workflow_name={WORKFLOW}&fields=input")["executions"]
    return [row["id"] for row in found if json.loads(row["input"])["host"] == host]


def is_up(mistral: Mistral, host: str, servers: set[str]) -> bool:
    """Whether all of these servers run elsewhere."""
    rows = [row for row in mistral.cloud.compute.servers(all_projects=True) if row.id in servers]
    return all(row.status == "ACTIVE" and row.task_state is None and row.compute_host != host for row in rows)
