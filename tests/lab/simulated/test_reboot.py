"""Reboot, stop and start: as nova's API and compute manager do it."""

from typing import TYPE_CHECKING

import pytest
from waiting import until

if TYPE_CHECKING:
    from conftest import Bench


def boots(bench: "Bench", name: str) -> list[dict[str, object]]:
    return [effect for effect in bench.cloud.journal("guest.boot") if effect["target"] == bench.servers[name]]


def test_hard_reboot_writes_state_and_action_before_it_answers(bench: "Bench") -> None:
    bench.cloud.settings(boot_seconds=30)
    answer = bench.reboot("app-1")
    assert answer.status_code == 202
    view = bench.server("app-1")
    assert (view["status"], view["OS-EXT-STS:task_state"].startswith("reboot")) == ("HARD_REBOOT", True)
    action = bench.action("app-1", answer.headers["x-openstack-request-id"])
    assert (action["action"], action["message"]) == ("reboot", None)
    assert not [event for event in action["events"] if event["finish_time"]]


def test_hard_reboot_ends_active_with_a_successful_event(bench: "Bench") -> None:
    request_id = bench.reboot("app-1").headers["x-openstack-request-id"]
    view = bench.settled("app-1")
    assert (view["OS-EXT-STS:vm_state"], view["OS-EXT-STS:power_state"]) == ("active", 1)
    (event,) = bench.action("app-1", request_id)["events"]
    assert (event["event"], event["result"], event["host"]) == (
        "compute_reboot_instance",
        "Success",
        "sim-c01",
    )
    assert len(boots(bench, "app-1")) == 1


def test_second_hard_reboot_is_accepted_and_journalled_but_boots_nothing(bench: "Bench") -> None:
    bench.cloud.settings(boot_seconds=0.3)
    answers = [bench.reboot("app-1") for _ in range(2)]
    assert answers[0].status_code == 202
    bench.settled("app-1")
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len(bench.cloud.journal("server.reboot")) == len(accepted)
    assert len(boots(bench, "app-1")) == 1


def test_soft_reboot_is_refused_while_something_goes_on_and_when_stopped(bench: "Bench") -> None:
    bench.cloud.settings(boot_seconds=30)
    bench.reboot("app-1")
    refused = bench.reboot("app-1", "SOFT")
    assert refused.status_code == 409
    assert "while it is in task_state reboot" in refused.json()["conflictingRequest"]["message"]
    stopped = bench.reboot("old-1", "SOFT")
    assert stopped.json()["conflictingRequest"]["message"] == (
        f"Cannot 'reboot' instance {bench.servers['old-1']} while it is in vm_state stopped"
    )


def test_hard_reboot_starts_a_stopped_server(bench: "Bench") -> None:
    assert bench.reboot("old-1").status_code == 202
    assert bench.settled("old-1")["OS-EXT-STS:power_state"] == 1


@pytest.mark.parametrize(("kind", "known"), [("HARD", False), ("HARD", True), ("SOFT", True)])
def test_reboot_brings_back_a_guest_that_is_gone(bench: "Bench", kind: str, known: bool) -> None:
    bench.cloud.settings(domains_survive=known)
    bench.cloud.power_cut()
    bench.cloud.power_on()
    assert bench.server("app-1")["status"] == "ACTIVE"
    assert bench.reboot("app-1", kind).status_code == 202
    until(lambda: boots(bench, "app-1"), "the guest of app-1 runs again")
    bench.settled("app-1")


def test_a_dead_compute_leaves_the_server_rebooting(bench: "Bench") -> None:
    bench.cloud.host("sim-c01", "kill")
    request_id = bench.reboot("app-1").headers["x-openstack-request-id"]
    assert bench.server("app-1")["OS-EXT-STS:task_state"] == "rebooting_hard"
    assert bench.action("app-1", request_id)["events"] == []
    assert boots(bench, "app-1") == []
    bench.cloud.host("sim-c01", "start")
    assert bench.settled("app-1")["OS-EXT-STS:power_state"] == 1


def test_stop_start_and_their_refusals(bench: "Bench") -> None:
    assert bench.act("app-1", **{"os-start": None}).status_code == 409
    assert bench.act("app-1", **{"os-stop": None}).status_code == 202
    assert bench.settled("app-1", "SHUTOFF")["OS-EXT-STS:power_state"] == 4
    refused = bench.act("app-1", **{"os-stop": None}).json()["conflictingRequest"]["message"]
    assert refused == f"Cannot 'stop' instance {bench.servers['app-1']} while it is in vm_state stopped"
    assert bench.act("app-1", **{"os-start": None}).status_code == 202
    bench.settled("app-1")
    kinds = [effect["kind"] for effect in bench.cloud.journal("server.")]
    assert kinds == ["server.stop", "server.start"]


def test_reset_state_is_for_administrators(bench: "Bench") -> None:
    assert bench.act("app-1", **{"os-resetState": {"state": "error"}}).status_code == 202
    assert bench.server("app-1")["status"] == "ERROR"
    assert bench.act("app-1", **{"os-resetState": {"state": "active"}}).status_code == 202
    assert bench.server("app-1")["status"] == "ACTIVE"
    path = f"/servers/{bench.servers['app-1']}/action"
    hidden = bench.compute("POST", path, member=True, json={"os-resetState": {"state": "error"}})
    assert hidden.status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"reboot": {"type": "X"}}, "Invalid input for field/attribute type. Value: X."),
        ({"nope": {}}, "There is no such action: nope"),
    ],
)
def test_malformed_actions_are_400(bench: "Bench", body: dict[str, object], words: str) -> None:
    answer = bench.act("app-1", **body)
    assert answer.status_code == 400
    assert words in answer.json()["badRequest"]["message"]
