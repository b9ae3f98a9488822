"""The workbooks on a real Mistral: installed, started, paused for approval, failed, run again; and a plan it drives.

The judge is OpenStack's own client.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openstack_client import Judge, standing
from openstack_mistral import ROOT, Mistral, mistral_beside
from openstack_town import Servers, Town, records, towns
from waiting import until

from stackmend.engine import orders
from stackmend.engine.store import Store
from stackmend.lab.openstack.control import OpenStackLab
from stackmend.workbooks import shipped

pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
SERVERS: Servers = {
    "db-1": {"host": 0, "root": "volume", "volumes": ["db-1-data"]},
    "web-1": {"host": 1, "volumes": []},
}
_PARSE = """
import sys
from mistral.lang import parser
for name in sys.argv[1:]:
    with open(name) as file:
        parser.get_workbook_spec_from_yaml(file.read())
"""


@pytest.fixture(scope="module")
def town(openstack_lab: OpenStackLab) -> Iterator[Town]:
    """Two servers on two hosts, on a clean lab."""
    with towns(openstack_lab) as make:
        yield make(SERVERS)


@pytest.fixture(scope="module")
def mistral(openstack_lab: OpenStackLab, town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mistral]:
    """Mistral with stackmend beside it, its workbooks, and a worker."""
    with mistral_beside(openstack_lab, tmp_path_factory.mktemp("mistral")) as found:
        done = found.types("workbook", "install", "-f", "json")
        assert (json.loads(done.stdout), done.stderr) == (dict.fromkeys(shipped.texts(), "created"), "")
        yield found


def test_mistrals_own_parser_reads_them(openstack_lab: OpenStackLab) -> None:
    python = Path(openstack_lab.client).parent / "python"
    files = [str(path) for path in (ROOT / "workbooks").glob("*.yaml")]
    assert files
    subprocess.run([python, "-W", "ignore", "-c", _PARSE, *files], check=True, timeout=120)


def test_install_brings_up_to_date_what_differs(mistral: Mistral) -> None:
    changed = shipped.text("stackmend").replace("count: <% $.polls %>", "count: 1")
    mistral.upload("workbooks", changed, "PUT")
    told = json.loads(mistral.types("workbook", "install", "-f", "json").stdout)
    assert told == {"stackmend": "updated", "stackmend-incidents": "unchanged"}
    assert mistral.ask("GET", "/workbooks/stackmend")["definition"] == shipped.text("stackmend")


def test_a_refused_order_is_the_tasks_error_and_goes_on_when_it_is_run_again(mistral: Mistral, town: Town) -> None:
    web = town.servers["web-1"]
    before = reboots(mistral, web)
    given = {"key": "outage", "server": ["shop-1"], "approved": True, "poll_seconds": 1}
    execution = mistral.start("stackmend.power-loss", given)
    why = mistral.until(execution, "ERROR")["state_info"]
    mend = mistral.task(execution, "mend")
    assert why == mend["state_info"]
    assert why == "there is no server shop-1 in this cloud: `openstack server list --all-projects` shows them"
    mistral.cloud.compute.update_server(web, name="shop-1")
    mistral.run_again(mend)
    report = report_of(mistral.until(execution, "SUCCESS"))
    assert (report["state"], report["key"]) == ("done", "outage")
    again = mistral.start("stackmend.power-loss", given)
    assert report_of(mistral.until(again, "SUCCESS")) == report
    assert ordered(mistral, "outage") == ["run"]
    assert reboots(mistral, web) == before + 1


def test_a_host_failure_is_approved_fails_and_goes_on_by_the_same_run(
    mistral: Mistral, town: Town, openstack_lab: OpenStackLab, judge: Judge
) -> None:
    hosts = openstack_lab.description["hosts"]
    source = hosts[0]
    given = {"host": source, "key": "dead", "fenced": "its plug is pulled", "consent": ["all"], "dead_timeout": 5}
    execution = mistral.start("stackmend-incidents.host-failure", {**given, "poll_seconds": 1})
    mistral.until(execution, "PAUSED")
    assert mistral.task(execution, "approve")["state"] == "IDLE"
    assert records(openstack_lab) == []
    mistral.let_run(execution)
    # The host is not dead at all: nothing may be evacuated.
    failed = mistral.until(execution, "ERROR")
    mend = mistral.task(execution, "mend")
    assert (source in mend["state_info"], mend["state_info"] in failed["state_info"]) == (True, True)
    assert records(openstack_lab) == []

    openstack_lab.host(source, "power-off")
    until(lambda: not mistral.hears(source), f"{source} is silent", 90)
    mistral.run_again(mend)
    ended = mistral.until(execution, "SUCCESS", 240)
    report = json.loads(ended["output"])["evacuated"]
    assert (report["state"], report["exceptions"]) == ("done", [])
    assert ordered(mistral, "dead") == ["retry", "run"]
    place = judge.places({"db-1": town.servers["db-1"]}, hosts)["db-1"]
    assert place["host"] != source
    assert place == {**standing(place["host"], ["db-1-data", "db-1-root"]), "held_on": sorted([place["host"], source])}
    assert judge.moves(town.servers, source) == {"db-1": [("evacuation", source, place["host"], "done")]}


def test_mistral_drives_a_plan_by_itself(mistral: Mistral, town: Town) -> None:
    web = town.servers["web-1"]
    before = reboots(mistral, web)
    text = mistral.types("workbook", "export", "power-loss", "--server", web).stdout
    (name,) = set(yaml.safe_load(text)) - {"version"}
    mistral.upload("workflows", text)
    execution = mistral.start(name, {})
    for asked in ("cloud-ready-cloud", "cloud-leftovers-cloud"):
        mistral.until(execution, "PAUSED")
        assert mistral.task(execution, asked)["state"] == "IDLE"
        mistral.let_run(execution)
        until(lambda asked=asked: mistral.task(execution, asked)["state"] == "SUCCESS", f"{asked} goes on", 30)
    mistral.until(execution, "SUCCESS")
    assert reboots(mistral, web) == before + 1


def reboots(mistral: Mistral, server: str) -> int:
    """How often nova was asked to reboot a server."""
    return sum(found.action == "reboot" for found in mistral.cloud.compute.server_actions(server))


def report_of(execution: dict[str, Any]) -> Any:
    return json.loads(execution["output"])["report"]


def ordered(mistral: Mistral, key: str) -> list[str]:
    """What was ordered of the one run of a key, newest first."""
    store = Store(mistral.store)
    try:
        (run,) = [row["id"] for row in store.runs() if row["key"] == key]
        return [order.verb for order in orders.orders(store) if order.run == run]
    finally:
        store.close()
