"""Power: the whole place goes dark and comes back, and what nova-compute finds then."""

from typing import TYPE_CHECKING

import pytest
from waiting import until

if TYPE_CHECKING:
    from conftest import Bench


def lights_out(bench: "Bench") -> list[str]:
    """Cut the power and give it again; the servers whose guests were lost."""
    lost: list[str] = bench.cloud.power_cut()["guests"]
    bench.cloud.power_on()
    return lost


def test_after_a_power_cut_the_rows_know_nothing(bench: "Bench") -> None:
    lost = lights_out(bench)
    assert len(lost) == 8
    server = bench.server("db-1")
    assert (server["status"], server["OS-EXT-STS:power_state"]) == ("ACTIVE", 1)
    assert not any(guest["running"] for guest in bench.cloud.state()["guests"].values())


def test_a_guest_that_is_gone_is_not_stopped_but_a_hard_reboot_brings_it_back(bench: "Bench") -> None:
    lights_out(bench)
    answer = bench.act("db-1", **{"os-stop": None})
    request_id = answer.headers["x-openstack-request-id"]
    until(lambda: bench.action("db-1", request_id)["message"] == "Error", "the stop failed")
    assert bench.server("db-1")["status"] == "ACTIVE"
    bench.reboot("db-1")
    bench.settled("db-1")
    assert bench.cloud.state()["guests"][f"{bench.servers['db-1']}@sim-c01"]["running"]


@pytest.mark.parametrize(("survive", "status", "power"), [(True, "SHUTOFF", 4), (False, "ACTIVE", 0)])
def test_nova_looks_for_its_guests_when_it_returns(bench: "Bench", survive: bool, status: str, power: int) -> None:
    bench.cloud.settings(sync_power_states=True, domains_survive=survive)
    lights_out(bench)
    bench.cloud.settings(sync_power_states=False, domains_survive=False)
    until(lambda: bench.server("db-1")["OS-EXT-STS:power_state"] == power, "nova looked")
    assert bench.server("db-1")["status"] == status
    actions = bench.compute("GET", f"/servers/{bench.servers['db-1']}/os-instance-actions").json()
    stops = [action["user_id"] for action in actions["instanceActions"] if action["action"] == "stop"]
    assert stops == ([None] if survive else [])


def test_power_returns_without_what_stays_broken(bench: "Bench") -> None:
    bench.cloud.power_cut()
    back = bench.cloud.power_on(without=["volume", "nova-compute@sim-c02", "sim-c03"])
    assert "volume" not in back["services"]
    assert "sim-c03" not in back["hosts"]
    running = {(p["host"], p["binary"]) for p in bench.cloud.state()["processes"] if p["running"]}
    assert ("sim-c01", "nova-compute") in running
    assert ("sim-c02", "nova-compute") not in running


def test_a_hang_is_let_go_without_an_effect(bench: "Bench") -> None:
    bench.cloud.fault("hang", service="compute", method="POST", times=1)
    with pytest.raises(Exception, match="timed out"):
        bench.compute(
            "POST", f"/servers/{bench.servers['db-1']}/action", json={"reboot": {"type": "HARD"}}, timeout=0.2
        )
    bench.cloud.clear_faults()
    assert bench.cloud.journal("server.reboot") == []
