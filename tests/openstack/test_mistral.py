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
from openstack_mistral import ROOT, Mistral, mistral_beside, ordered
from openstack_town import Servers, Town, towns
from waiting import until

from stackmend.lab.openstack.control import OpenStackLab
from stackmend.workbooks import shipped

pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
SERVERS: Servers = {
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
    """A server, on a clean lab."""
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
