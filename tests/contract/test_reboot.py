"""A reboot: its answer, its action and events, and the states that take it."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from contract.cloud import Cloud
from waiting import until


def test_the_action_is_there_before_the_answer(cloud: Cloud, server: str) -> None:
    answer = cloud.ask_reboot(server)
    request = answer.headers["x-openstack-request-id"]
    assert (answer.status_code, answer.content) == (202, b"")
    assert answer.headers["x-compute-request-id"] == request
    row = cloud.row("nova", "SELECT * FROM instance_actions WHERE request_id = :request", request=request)
    assert (row["action"], row["instance_uuid"], row["finish_time"]) == ("reboot", server, None)
    assert cloud.action(server, request)["request_id"] == request
    cloud.finished(server, request)
    cloud.settled(server)


def test_the_event_tells_the_end_and_the_action_does_not(cloud: Cloud, server: str) -> None:
    answer = cloud.ask_reboot(server)
    request = answer.headers["x-openstack-request-id"]
    (event,) = cloud.finished(server, request)
    assert (event["event"], event["result"], event["host"]) == ("compute_reboot_instance", "Success", cloud.hosts[0])
    row = cloud.row("nova", "SELECT * FROM instance_actions WHERE request_id = :request", request=request)
    assert (row["finish_time"], row["message"]) == (None, None)
    view = cloud.settled(server)
    assert (view["OS-EXT-STS:vm_state"], view["OS-EXT-STS:power_state"]) == ("active", 1)


def test_the_caller_is_the_actions_user_not_the_owner(cloud: Cloud, server: str, theirs: str) -> None:
    events_of = cloud.ask_reboot(theirs).headers["x-openstack-request-id"]
    action = cloud.action(theirs, events_of)
    owner = cloud.server(theirs)
    assert action["project_id"] == cloud.server(server)["tenant_id"] != owner["tenant_id"]
    assert action["user_id"] == cloud.server(server)["user_id"] != owner["user_id"]


def test_a_given_request_id_is_stored_nowhere(cloud: Cloud, server: str) -> None:
    given = f"req-{uuid.uuid4()}"
    answer = cloud.ask_reboot(server, headers={"X-OpenStack-Request-ID": given})
    assert answer.headers["x-openstack-request-id"] != given
    cloud.finished(server, answer.headers["x-openstack-request-id"])
    assert cloud.rows("nova", "SELECT id FROM instance_actions WHERE request_id = :given", given=given) == []
    assert cloud.nova("GET", f"/servers/{server}/os-instance-actions/{given}").status_code == 404


def test_a_soft_reboot_looks_the_same_afterwards(cloud: Cloud, server: str) -> None:
    (event,) = cloud.reboot(server, "SOFT")
    assert (event["event"], event["result"]) == ("compute_reboot_instance", "Success")
    newest = cloud.nova("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"][0]
    assert newest["action"] == "reboot"


def test_a_change_moves_updated_and_changes_since_includes_its_second(cloud: Cloud, server: str) -> None:
    start = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    cloud.reboot(server)
    assert cloud.server(server)["updated"] >= start
    path = f"/servers/detail?all_tenants=1&changes-since={cloud.server(server)['updated']}"
    assert server in [view["id"] for view in cloud.nova("GET", path).json()["servers"]]
    assert cloud.nova("GET", "/servers/detail?changes-since=2100-01-01T00:00:00Z").json()["servers"] == []
    assert cloud.nova("GET", "/servers/detail?changes-since=soon").status_code == 400


def test_of_two_hard_reboots_at_once_one_may_fail_and_the_server_runs(cloud: Cloud, server: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: cloud.ask_reboot(server), range(2)))
    # The second is refused only once nova-compute has taken up the first.
    assert {answer.status_code for answer in answers} <= {202, 409}
    taken = [answer.headers["x-openstack-request-id"] for answer in answers if answer.status_code == 202]
    assert "Success" in [event["result"] for request in taken for event in cloud.finished(server, request)]
    cloud.settled(server)


@pytest.mark.parametrize("task", ["rebooting", "rebooting_hard", "reboot_started", "suspending", "unpausing"])
def test_task_states_that_take_a_hard_reboot(cloud: Cloud, server: str, task: str) -> None:
    cloud.set_states(server, task_state=task)
    assert [event["result"] for event in cloud.reboot(server)] == ["Success"]


@pytest.mark.parametrize("state", ["stopped", "paused", "suspended", "error"])
def test_states_that_take_a_hard_reboot_run_afterwards(cloud: Cloud, server: str, state: str) -> None:
    cloud.set_states(server, vm_state=state)
    assert [event["result"] for event in cloud.reboot(server)] == ["Success"]


@pytest.mark.parametrize(
    ("column", "state"),
    [
        *(
            ("task_state", task)
            for task in ("reboot_pending_hard", "reboot_started_hard", "powering-off", "powering-on")
        ),
        *(("task_state", task) for task in ("image_snapshot", "migrating", "rebuilding", "deleting", "spawning")),
        *(("vm_state", state) for state in ("resized", "rescued", "building", "shelved", "shelved_offloaded")),
    ],
)
def test_states_that_refuse_a_hard_reboot(cloud: Cloud, server: str, column: str, state: str) -> None:
    before = actions(cloud, server)
    cloud.set_states(server, **{column: state})
    answer = cloud.ask_reboot(server)
    cloud.set_states(server, vm_state="active", task_state=None)
    message = f"Cannot 'reboot' instance {server} while it is in {column} {state}"
    assert (answer.status_code, answer.json()) == (409, {"conflictingRequest": {"code": 409, "message": message}})
    assert actions(cloud, server) == before


@pytest.mark.parametrize(("column", "state"), [("vm_state", "stopped"), ("task_state", "rebooting")])
def test_states_that_refuse_a_soft_reboot(cloud: Cloud, server: str, column: str, state: str) -> None:
    cloud.set_states(server, **{column: state})
    answer = cloud.ask_reboot(server, "SOFT")
    cloud.set_states(server, vm_state="active", task_state=None)
    assert answer.status_code == 409
    assert answer.json()["conflictingRequest"]["message"].endswith(f"while it is in {column} {state}")


def test_a_reboot_of_no_known_kind(cloud: Cloud, server: str) -> None:
    answer = cloud.ask_reboot(server, "COLD")
    assert answer.status_code == 400
    assert answer.json()["badRequest"]["message"].startswith("Invalid input for field/attribute type. Value: COLD.")


def test_reset_state_clears_the_task_and_asks_nothing(cloud: Cloud, server: str) -> None:
    cloud.set_states(server, vm_state="shelved_offloaded", task_state="reboot_started_hard")
    answer = cloud.act(server, {"os-resetState": {"state": "active"}})
    assert (answer.status_code, answer.content) == (202, b"")
    view = cloud.server(server)
    assert (view["OS-EXT-STS:vm_state"], view["OS-EXT-STS:task_state"]) == ("active", None)
    action = cloud.action(server, answer.headers["x-openstack-request-id"])
    assert (action["action"], action["events"]) == ("resetState", [])
    assert cloud.act(server, {"os-resetState": {"state": "stopped"}}).status_code == 400


def actions(cloud: Cloud, server: str) -> int:
    """How many actions a server has."""
    row = cloud.row("nova", "SELECT count(*) AS n FROM instance_actions WHERE instance_uuid = :server", server=server)
    return int(row["n"])


def test_a_missing_server_and_a_missing_action(cloud: Cloud, server: str) -> None:
    nobody = str(uuid.uuid4())
    answer = cloud.ask_reboot(nobody)
    message = f"Instance {nobody} could not be found."
    assert (answer.status_code, answer.json()) == (404, {"itemNotFound": {"code": 404, "message": message}})
    request = f"req-{uuid.uuid4()}"
    assert cloud.nova("GET", f"/servers/{server}/os-instance-actions/{request}").json() == {
        "itemNotFound": {"code": 404, "message": f"Action {request} not found"}
    }
    until(lambda: cloud.server(server)["status"] == "ACTIVE", "the server runs")
