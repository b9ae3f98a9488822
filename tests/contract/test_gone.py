"""A host loses its power and returns at once: guests that are gone, and work that waited for it."""

from dataclasses import dataclass

import pytest
from contract.cloud import Cloud
from contract.hosts import service
from waiting import until


@dataclass(frozen=True)
class Returned:
    """Servers of a host that was dead for a moment, and what was asked of them meanwhile."""

    host: str
    parked: str
    request: str
    gone: str
    soft: str
    deleted: str


@pytest.fixture(scope="module")
def returned(cloud: Cloud) -> Returned:
    """Kill the host, ask for a reboot and a deletion, and let it return."""
    host = cloud.hosts[2]
    parked, gone, soft, deleted = cloud.boot_each(*[host] * 4)
    cloud.lab.power_cut([host])
    answer = cloud.ask_reboot(parked)
    assert answer.status_code == 202
    request = answer.headers["x-openstack-request-id"]
    assert cloud.nova("DELETE", f"/servers/{deleted}").status_code == 204
    view = cloud.server(parked)
    assert (view["OS-EXT-STS:task_state"], view["OS-EXT-STS:power_state"]) == ("rebooting_hard", 1)
    assert cloud.action(parked, request)["events"] == []
    seen = cloud.row("nova", "SELECT last_seen_up FROM services WHERE host = :host", host=host)["last_seen_up"]
    cloud.lab.power_on(hosts=[host])
    until(lambda: heartbeat(cloud, host) != seen and service(cloud, host)["state"] == "up", "the host is back", 90)
    return Returned(host, parked, request, gone, soft, deleted)


def heartbeat(cloud: Cloud, host: str) -> str:
    return str(cloud.row("nova", "SELECT last_seen_up FROM services WHERE host = :host", host=host)["last_seen_up"])


def test_a_reboot_that_waited_is_done_by_nova_itself_and_its_own_event_fails(cloud: Cloud, returned: Returned) -> None:
    view = cloud.settled(returned.parked)
    assert (view["OS-EXT-STS:vm_state"], view["OS-EXT-STS:power_state"]) == ("active", 1)
    until(lambda: cloud.action(returned.parked, returned.request)["message"] == "Error", "the waiting call failed")


def test_a_deletion_that_waited_is_carried_out(cloud: Cloud, returned: Returned) -> None:
    until(lambda: cloud.nova("GET", f"/servers/{returned.deleted}").status_code == 404, "the server is gone")


def test_what_was_not_asked_for_says_active_and_is_gone(cloud: Cloud, returned: Returned) -> None:
    view = cloud.server(returned.gone)
    assert (view["status"], view["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
    answer = cloud.act(returned.gone, {"os-stop": None})
    assert answer.status_code == 202
    events = cloud.finished(returned.gone, answer.headers["x-openstack-request-id"])
    assert [(event["event"], event["result"]) for event in events] == [("compute_stop_instance", "Error")]
    assert cloud.settled(returned.gone)["OS-EXT-STS:vm_state"] == "active"


def test_a_hard_reboot_brings_it_back(cloud: Cloud, returned: Returned) -> None:
    (event,) = cloud.reboot(returned.gone)
    assert (event["result"], event["host"]) == ("Success", returned.host)
    answer = cloud.act(returned.gone, {"os-stop": None})
    events = cloud.finished(returned.gone, answer.headers["x-openstack-request-id"])
    assert [event["result"] for event in events] == ["Success"]
    cloud.settled(returned.gone, "SHUTOFF")


def test_a_soft_reboot_of_a_guest_that_is_gone_ends_in_error(cloud: Cloud, returned: Returned) -> None:
    answer = cloud.ask_reboot(returned.soft, "SOFT")
    assert answer.status_code == 202
    events = cloud.finished(returned.soft, answer.headers["x-openstack-request-id"])
    assert [event["result"] for event in events] == ["Error"]
    assert cloud.settled(returned.soft, "ERROR")["OS-EXT-STS:power_state"] == 0
    assert [event["result"] for event in cloud.reboot(returned.soft)] == ["Success"]
