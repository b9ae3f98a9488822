"""power-loss on a real OpenStack: its power fails, its rows go stale, the recovery is killed, and all is as before.

The judge is OpenStack's own client; the rows are made stale in the ways that the guides and operators tell of.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from mortality import Nursery
from openstack_client import Judge
from openstack_town import Town, statement
from waiting import until

from stackmend.engine.store import Store
from stackmend.errors import UnknownRun
from stackmend.lab.openstack.control import OpenStackLab

# openstacksdk, which builds the town, warns of its own defaults and calls, whatever one does.
pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
# So many servers are back when the recovery is killed.
_BACK = 2


@dataclass
class Operator:
    """Types commands, some of which die."""

    nursery: Nursery
    directory: Path
    environment: dict[str, str]
    sql: list[str]

    def types(self, *words: str) -> Any:
        """One command, to its end."""
        return self.nursery.command(self.environment, words)

    def is_killed(self, *words: str) -> None:
        """Types a command that is killed once some servers, and not all, are back."""
        command = [sys.executable, "-W", "ignore", "-m", "stackmend", *words]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "STACKMEND_"))}
        with (self.directory / "killed.log").open("w") as log:
            process = subprocess.Popen(command, env={**inherited, **self.environment}, stdout=log, stderr=log)
            until(lambda: process.poll() is not None or len(self._back()) >= _BACK, "servers are back", 300)
            process.kill()
            process.wait()

    def _back(self) -> list[str]:
        """The servers that are back, read from the run store itself."""
        store = Store(f"sqlite:///{self.directory}/runs.sqlite")
        try:
            return [lane.title for lane in store.lanes(store.run(store.find("loss"))) if lane.state == "done"][1:]
        except UnknownRun:
            return []
        finally:
            store.close()

    def status(self) -> dict[str, Any]:
        """How the run stands."""
        found: dict[str, Any] = json.loads(self.types("status", "loss", "-f", "json").out)
        return found


@pytest.fixture
def town(openstack_lab: OpenStackLab) -> Iterator[Town]:
    """Nine servers on three hosts."""
    openstack_lab.reset()
    with Town(openstack_lab) as built:
        built.build()
        yield built


@pytest.fixture
def operator(openstack_lab: OpenStackLab, tmp_path: Path) -> Iterator[Operator]:
    """With a run store and settings of their own."""
    settings = tmp_path / "stackmend.yaml"
    settings.write_text(
        yaml.safe_dump({"store": f"sqlite:///{tmp_path}/runs.sqlite", "poll_interval": 0.5, "settle": 3})
    )
    found = openstack_lab.environment()
    environment = {name: value for name, value in found.items() if name.startswith("OS_")}
    environment |= {"STACKMEND_CONFIG": str(settings), "XDG_STATE_HOME": str(tmp_path / "state")}
    confs = openstack_lab.description["confs"]
    sql = [word for name in ("nova", "cinder") for word in ("--sql", f"{name}={confs[name]}")]
    with Nursery(tmp_path) as nursery:
        yield Operator(nursery, tmp_path, environment, sql)


def make_stale(lab: OpenStackLab, town: Town) -> None:
    """What a power loss and careless hands leave behind."""
    statement(
        lab,
        "cinder",
        "UPDATE volumes SET status='available', attach_status='detached' WHERE id=:id",
        id=town.volumes["web-1-data"],
    )
    statement(lab, "nova", "UPDATE instances SET task_state='powering-off' WHERE uuid=:id", id=town.servers["app-1"])
    town.reset_volume("app-2-data", status="error")
    town.reset_volume("db-1-data", status="available", attach_status="detached")
    town.reset_volume("db-1-root", status="available", attach_status="detached")
    town.reset_volume("old-1-data", status="available", attach_status="detached")


def test_killed_in_the_middle_and_resumed_it_is_as_before(
    openstack_lab: OpenStackLab, town: Town, operator: Operator, tmp_path: Path
) -> None:
    judge = Judge(openstack_lab.client, openstack_lab.environment())
    ids = list(town.servers.values())
    before = judge.state(ids)
    capture = str(tmp_path / "capture.json")
    assert operator.types("capture", "power-loss", "-o", capture, *operator.sql).code == 0
    openstack_lab.power_cut()
    openstack_lab.power_on()
    make_stale(openstack_lab, town)
    broken = judge.state(ids)
    assert broken != before

    run = ("run", "power-loss", "--yes", "--key", "loss", "--capture", capture, "-p", "ready_interval=1", *operator.sql)
    operator.is_killed(*run)
    between = operator.status()
    assert between["state"] == "interrupted"
    done = {lane["title"] for lane in between["lanes"] if lane["state"] == "done"}
    assert {"readiness"} < done < set(town.servers) | {"readiness"}, between
    resumed = operator.types("resume", "loss", "-f", "json", *operator.sql)
    assert resumed.code == 0, resumed.err
    assert set(between["completed_steps"]) <= set(operator.status()["completed_steps"])

    assert judge.state(ids) == before
    reboots = {name: judge.reboots(server) for name, server in town.servers.items()}
    assert {name: len(found) for name, found in reboots.items()} == {
        name: 0 if name == "old-1" else 1 for name in town.servers
    }
    _assert_in_order(reboots)
    report = json.loads(operator.types("report", "loss", "-f", "json").out)
    assert (report["state"], report["exceptions"]) == ("done", [])


def _assert_in_order(reboots: Mapping[str, list[dict[str, Any]]]) -> None:
    """Databases before applications, applications before the web."""
    when = {name: str(found[0]["Start Time"]) for name, found in reboots.items() if found}
    assert when["db-1"] <= when["app-1"] <= when["web-1"], when
    assert when["db-1"] <= when["app-2"] <= when["web-1"], when
