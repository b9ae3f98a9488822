"""Nothing moves before the host is proved dead and off, and no more looks dead than one host's failure explains."""

from typing import Any

import pytest
from desk import Ended
from living import LivingDesk

HOST = "sim-c01"
RESET = {"service": "redfish", "method": "POST"}


def attempt(desk: LivingDesk, *words: str, **parameters: Any) -> Ended:
    """One evacuation, not waited for long."""
    return desk.do("evacuate-host", HOST, *words, **{"consent": "disk", "dead_timeout": 1, **parameters})


def held_back(desk: LivingDesk, ended: Ended, *fragments: str) -> None:
    """It stopped at the gate with these words, and no server and no switch was touched."""
    assert (ended.code, ended.data["state"]) == (4, "needs-hands"), ended.err
    assert [fragment for fragment in fragments if fragment not in ended.err] == [], ended.err
    assert desk.calls() == [call for call in desk.calls() if call[0] == "redfish"]


def resets(desk: LivingDesk) -> list[str]:
    """The orders that reached the host's controller."""
    return [effect["reset_type"] for effect in desk.cloud.journal("host.reset")]


class TestEvidence:
    """One witness is not believed."""

    def test_nova_alone_says_so(self, living: LivingDesk) -> None:
        living.cloud.host(HOST, "kill")
        living.cloud.damage("heartbeat-stale", HOST)
        ended = attempt(living)
        held_back(living, ended, "is not proved to be dead", "reports to neutron", "SSH answers", "for it: nobody")
        assert resets(living) == []

    def test_ssh_alone_speaks_against_it(self, living: LivingDesk) -> None:
        for binary in ("nova-compute", "neutron-openvswitch-agent"):
            living.cloud.host(HOST, "kill", binary)
        living.cloud.damage("heartbeat-stale", HOST)
        held_back(living, attempt(living), "its neutron agents are silent", "against it: SSH answers")

    def test_an_operator_knows_better(self, living: LivingDesk) -> None:
        living.cloud.host(HOST, "kill")
        living.cloud.damage("heartbeat-stale", HOST)
        assert attempt(living, "--dead", "I saw the smoke", dead_timeout=4).code == 0
        assert "I saw the smoke" in living.stackmend("report", "last", "-f", "json").out
        assert living.cloud.state()["hosts"][HOST]["powered"] == 0

    def test_who_knows_is_not_kept_waiting_by_a_silent_host(self, living: LivingDesk) -> None:
        living.dies(HOST)
        assert attempt(living, "--dead", "fenced by Pacemaker", dead_timeout=4).code == 0
        report = living.stackmend("report", "last", "-f", "json").data
        (step,) = [step for lane in report["lanes"] for step in lane["steps"] if step["name"] == f"host.dead:{HOST}"]
        assert step["evidence"]["dead"][0] == "an operator: fenced by Pacemaker"
        assert [witness for witness in step["evidence"]["dead"] if "SSH" in witness or "power" in witness] == []

    def test_a_host_that_lives(self, living: LivingDesk) -> None:
        held_back(living, attempt(living, "--dead", "I am sure"), "nova-compute is up")


class TestFence:
    """The receipt."""

    def test_a_host_that_hangs_is_switched_off(self, living: LivingDesk) -> None:
        living.crashes(HOST)
        assert attempt(living, dead_timeout=4).code == 0
        assert resets(living) == ["ForceOff"]

    def test_a_host_that_is_off_needs_no_order(self, living: LivingDesk) -> None:
        living.dies(HOST)
        assert attempt(living, dead_timeout=4).code == 0
        assert resets(living) == []

    @pytest.mark.parametrize(("kind", "most"), [("cut-after", 1), ("cut-before", 1), ("malformed", 1), ("slow", 2)])
    def test_an_order_that_failed_and_may_have_worked(self, living: LivingDesk, kind: str, most: int) -> None:
        living.crashes(HOST)
        # Longer than the agent itself waits.
        living.cloud.fault(kind, times=1, seconds=4, **RESET)
        ended = attempt(living, dead_timeout=4, fence_timeout=10)
        assert ended.code == 0, ended.err
        # One that is late can be overtaken by the next: a host that is off twice is off.
        assert resets(living)[1:] in ([], ["ForceOff"] * (most - 1))

    def test_a_controller_that_says_nothing(self, living: LivingDesk) -> None:
        living.crashes(HOST)
        living.cloud.fault("status", status=503, service="redfish")
        ended = attempt(living, dead_timeout=4, fence_timeout=1)
        held_back(living, ended, "can't tell whether sim-c01 has power")
        living.cloud.clear_faults()
        assert living.stackmend("retry", "last").code == 0
        assert living.counted("server.evacuate") == ["db", "disk", "idle", "web"]

    def test_a_wrong_password_is_said_and_not_shown(self, living: LivingDesk) -> None:
        secret = living.path("wrong")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("0p3n-sesame\n")
        with open(living.cloud.description["inventory"], encoding="utf-8") as file:
            text = file.read()
        with open(living.path("inventory.yaml"), "w", encoding="utf-8") as file:
            file.write(text.replace(text.split("password_file: ")[1].split("\n")[0], secret))
        living.settings(inventory=living.path("inventory.yaml"))
        living.crashes(HOST)
        ended = attempt(living, dead_timeout=4, fence_timeout=1)
        held_back(living, ended, "check the address, user and password")
        assert "0p3n-sesame" not in ended.err + ended.out + living.stackmend("report", "last", "-f", "json").out

    def test_a_statement_stands_for_the_agent(self, living: LivingDesk) -> None:
        living.settings(inventory="")
        living.dies(HOST)
        assert attempt(living, "--fenced", "I pulled both plugs", dead_timeout=4).code == 0
        assert resets(living) == []
        report = living.stackmend("report", "last", "-f", "json").data
        (step,) = [
            step for lane in report["lanes"] for step in lane["steps"] if step["name"] == f"host.fence-statement:{HOST}"
        ]
        assert step["evidence"]["statement"] == "I pulled both plugs"


class TestBrake:
    """When more looks dead than one host."""

    def test_too_many_are_down(self, living: LivingDesk) -> None:
        living.dies(HOST)
        living.dies("sim-c02")
        held_back(
            living, attempt(living), "the brake holds: 2 of 3 hosts of the cloud are down", "2 of 3 hosts of zone"
        )

    def test_a_host_that_was_disabled_is_not_missed(self, living: LivingDesk) -> None:
        living.switch("sim-c02", status="disabled", disabled_reason="new memory")
        living.dies("sim-c02")
        living.dies(HOST)
        assert attempt(living, dead_timeout=4).code == 0

    def test_in_its_aggregate(self, make_living: Any) -> None:
        living = make_living(hosts=6)
        made = living.ask("POST", "/os-aggregates", {"aggregate": {"name": "rack-1"}})["aggregate"]["id"]
        for host in (HOST, "sim-c02", "sim-c03"):
            living.ask("POST", f"/os-aggregates/{made}/action", {"add_host": {"host": host}})
        living.cloud.clear_journal()
        for host in (HOST, "sim-c02"):
            living.dies(host)
        ended = attempt(living)
        held_back(living, ended, "2 of 3 hosts of aggregate rack-1 are down")
        assert "of the cloud" not in ended.err

    def test_too_many_were_evacuated_lately(self, living: LivingDesk) -> None:
        living.dies(HOST)
        assert attempt(living, dead_timeout=4).code == 0
        living.cloud.clear_journal()
        living.dies("sim-c02")
        ended = living.do("evacuate-host", "sim-c02", consent="all", most_hosts=1)
        held_back(living, ended, "1 other hosts were evacuated in the last 1 h (sim-c01)")
        assert living.stackmend("abandon", "last").code == 0
        assert living.do("evacuate-host", "sim-c02", "--key", "2", consent="all", dead_timeout=4).code == 0

    def test_a_scheduler_that_is_dead(self, living: LivingDesk) -> None:
        living.cloud.host("sim-ctl", "kill", "nova-scheduler")
        living.cloud.damage("heartbeat-stale", "sim-ctl")
        living.dies(HOST)
        held_back(living, attempt(living), "no nova-scheduler is up")

    def test_it_is_overridden_with_a_reason_that_is_kept(self, living: LivingDesk) -> None:
        living.dies(HOST)
        living.dies("sim-c02")
        assert attempt(living, "--override-brake", "the rack burned", dead_timeout=4).code == 0
        report = living.stackmend("report", "last", "-f", "json")
        assert "the rack burned" in report.out
        assert "2 of 3 hosts of the cloud are down" in report.out

    def test_it_fails_closed(self, living: LivingDesk) -> None:
        living.settings(patience=0.5)
        living.dies(HOST)
        plan = living.path("plan.json")
        assert living.stackmend("plan", "evacuate-host", HOST, "-o", plan).code == 0
        living.cloud.fault("status", status=500, service="compute", path="os-aggregates")
        ended = living.stackmend("run", "--plan", plan, "-y", "-f", "json")
        held_back(living, ended, "os-aggregates")


class TestRevert:
    """Before the fence all of it, behind it nothing."""

    def test_behind_the_fence(self, living: LivingDesk) -> None:
        living.crashes(HOST)
        assert attempt(living, dead_timeout=4).code == 0
        before = living.places(), living.service(HOST)
        ended = living.stackmend("revert", "last")
        assert (ended.code, "can't be taken back" in ended.err) == (4, True)
        assert (living.places(), living.service(HOST)) == before

    def test_a_statement_can_be_taken_back_while_nothing_has_moved(self, living: LivingDesk) -> None:
        before = living.service(HOST)
        living.dies(HOST)
        living.cloud.fault("status", status=403, service="compute", method="POST", body="evacuate")
        assert attempt(living, "--fenced", "unplugged", dead_timeout=4).code == 3
        assert living.service(HOST)["forced_down"] == 1
        living.cloud.clear_faults()
        ended = living.stackmend("revert", "last", "-f", "json")
        assert (ended.code, ended.data["state"]) == (0, "reverted"), ended.err
        assert living.service(HOST) == before

    def test_a_host_whose_servers_left_stays_down(self, living: LivingDesk) -> None:
        living.dies(HOST)
        assert attempt(living, "--fenced", "unplugged", dead_timeout=4).code == 0
        ended = living.stackmend("revert", "last", "--where-possible", "-f", "json")
        assert (ended.code, ended.data["state"]) == (4, "needs-hands")
        assert "stackmend run host-return sim-c01" in ended.err
        assert (living.service(HOST)["disabled"], living.service(HOST)["forced_down"]) == (1, 1)
