"""Servers that are stopped: by whom, and since when, decides whether they come back."""

from collections.abc import Iterator

import pytest
from desk import Desk, verdicts
from waiting import until

from stackmend.clients.cloud import ApiCall, Cloud, new_request_id


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """The cloud as another user of it has it."""
    found = Cloud.connect("sim")
    yield found
    found.close()


def power(desk: Desk, cloud: Cloud, name: str, action: str, state: str) -> None:
    """A user starts or stops a server."""
    server = desk.servers[name]
    call = ApiCall("compute", "POST", f"/servers/{server}/action", {f"os-{action}": None})
    cloud.send(call, new_request_id("user", action, 1))
    until(lambda: vm_state(desk, name) == state, f"{name} is {state}")


def vm_state(desk: Desk, name: str) -> str:
    rows = {row["uuid"]: row for row in desk.table("nova", "instances")}
    return str(rows[desk.servers[name]]["vm_state"])


def test_nova_stopped_them_when_it_found_no_guest(pair: Desk) -> None:
    """The compute that comes back stops what it finds shut down: no user did, so it ran."""
    pair.cloud.settings(sync_power_states=True, domains_survive=True)
    pair.cloud.power_cut()
    pair.cloud.power_on()
    until(lambda: {vm_state(pair, "db"), vm_state(pair, "web")} == {"stopped"}, "nova has stopped both")
    pair.cloud.settings(sync_power_states=False, domains_survive=False)
    pair.cloud.clear_journal()
    ended = pair.run(*pair.sql)
    assert ended.code == 0, ended.err
    assert sorted(pair.rebooted()) == ["db", "web"]
    assert (vm_state(pair, "db"), vm_state(pair, "web"), vm_state(pair, "idle")) == ("active", "active", "stopped")


def test_a_user_stopped_it_after_the_capture(pair: Desk, cloud: Cloud) -> None:
    assert pair.run("--server", "web").code == 0
    assert pair.stackmend("capture", "power-loss", "-o", pair.path("before.json")).code == 0
    power(pair, cloud, "web", "stop", "stopped")
    found = verdicts(pair.plan("--capture", pair.path("before.json")))
    said = [found[name]["verdict"] for name in ("web", "db", "idle")]
    assert said == ["nothing-to-do", "ready", "nothing-to-do"]


def test_a_user_started_it_after_the_capture(pair: Desk, cloud: Cloud) -> None:
    assert pair.stackmend("capture", "power-loss", "-o", pair.path("before.json")).code == 0
    power(pair, cloud, "idle", "start", "active")
    pair.cloud.power_cut()
    pair.cloud.power_on()
    pair.cloud.clear_journal()
    ended = pair.run("--capture", pair.path("before.json"), *pair.sql)
    assert ended.code == 0, ended.err
    assert sorted(pair.rebooted()) == ["db", "idle", "web"]
