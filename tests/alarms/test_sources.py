"""What each source posts, as it was seen, and what is read from it."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import down, group

from stackmend.alarms.alarm import FIRING, INSUFFICIENT, OK, Alarm
from stackmend.alarms.ledger import row
from stackmend.alarms.sources import SOURCES
from stackmend.errors import BadInput

NOW = "2026-11-21T12:00:00.000Z"
_THRESHOLD = {"type": "threshold", "disposition": "inside", "count": 1, "most_recent": 97.5}
_TRAITS = [["service", 1, "nova-compute"], ["host", 1, "c01"], ["count", 2, 3]]
_EVENT = {
    "event_type": "service.down",
    "generated": "2026-11-21T10:00:00.123456",
    "message_id": "b3ca",
    "traits": _TRAITS,
}
AODH: dict[str, Any] = {
    "alarm_name": "cpu_high",
    "alarm_id": "33e4",
    "severity": "low",
    "previous": "ok",
    "current": "alarm",
    "reason": "Transition to alarm due to 1 samples inside threshold",
    "reason_data": _THRESHOLD,
}
AODH_EVENT = AODH | {"alarm_name": "compute_down", "reason_data": {"type": "event", "event": _EVENT}}
MESSAGE = {"body": AODH_EVENT, "ttl": 300, "queue_name": "alarms"}
TRIGGER = {"workflow_id": "f00", "input": {}, "params": {"env": {"notification": MESSAGE}}}
CONFIRMATION = {"Message_Type": "SubscriptionConfirmation", "WSGISubscribeURL": "http://zaqar", "queue_name": "alarms"}
PLAIN = {"name": "HostDown", "state": "firing", "host": "c01", "labels": {"rack": "r7"}}
HOST: dict[str, Any] = {
    "notification": {
        "type": "COMPUTE_HOST",
        "hostname": "c01",
        "generated_time": "2026-11-21T10:00:00.000250",
        "payload": {"event": "STOPPED", "cluster_status": "OFFLINE", "host_status": "UNKNOWN"},
    }
}
VM = {"instance_uuid": "5d3a", "vir_domain_event": "STOPPED_FAILED", "event": "LIFECYCLE"}
PROCESS = {"process_name": "nova-compute", "event": "STOPPED"}
NODE = {"alert": {"kind": "node", "node": "c03", "desc": "lost", "timestamp_epoch": "1795236735"}, "reporter": "c01"}
RESOURCE = {"kind": "resource", "node": "c01", "rsc": "c03", "rc": "1", "target_rc": "0", "status": "4"}


def notification(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"notification": HOST["notification"] | {"type": kind, "payload": payload}}


BODIES: list[tuple[str, dict[str, Any]]] = [
    ("aodh", AODH),
    ("aodh", AODH_EVENT),
    ("alertmanager", group(down("c01"), down("c02", status="resolved"))),
    ("zaqar", MESSAGE),
    ("zaqar", TRIGGER),
    ("zaqar", {"body": PLAIN}),
    ("masakari", HOST),
    ("masakari", notification("VM", VM)),
    ("masakari", notification("PROCESS", PROCESS)),
    ("pacemaker", NODE),
    ("pacemaker", {"alert": RESOURCE, "reporter": "c01"}),
]


def read(source: str, payload: Any) -> list[Alarm]:
    return SOURCES[source].read(payload, NOW)


def one(source: str, payload: Any) -> Alarm:
    (found,) = read(source, payload)
    return found


@pytest.mark.parametrize("source", ["aodh", "zaqar"])
def test_aodh_tells_of_an_events_host_and_time(source: str) -> None:
    found = one(source, AODH_EVENT if source == "aodh" else MESSAGE)
    assert (found.id, found.name, found.state, found.host) == ("33e4/c01", "compute_down", FIRING, "c01")
    assert found.at == "2026-11-21T10:00:00.123Z"
    assert found.labels["event_type"] == "service.down"
    assert found.labels["count"] == "3"
    assert found.source == source


def test_what_goes_on_at_aodh_has_no_beginning() -> None:
    assert one("aodh", AODH).at == NOW
    assert one("aodh", AODH | {"previous": "alarm"}).at == ""
    assert one("aodh", AODH_EVENT | {"previous": "alarm"}).at != ""


@pytest.mark.parametrize(("current", "state"), [("alarm", FIRING), ("ok", OK), ("insufficient data", INSUFFICIENT)])
def test_aodhs_states(current: str, state: str) -> None:
    assert one("aodh", AODH | {"current": current}).state == state


def test_an_alert_and_its_end_bear_the_same_id() -> None:
    first, last = read("alertmanager", group(down("c01"), down("c01", status="resolved")))
    assert (first.id, first.state, last.state) == (last.id, FIRING, OK)
    assert (first.host, first.name, first.severity) == ("c01", "HostDown", "critical")
    assert first.labels["summary"] == "c01 does not answer"


@pytest.mark.parametrize(
    ("labels", "host"),
    [
        ({"instance": "c01:9100"}, "c01"),
        ({"instance": "c01"}, "c01"),
        ({"instance": "[fe80::1]:9100"}, "[fe80::1]"),
        ({"instance": "fe80::1"}, "fe80::1"),
        ({"instance": "prometheus:9100", "host": "c07"}, "c07"),
        ({"job": "node"}, ""),
    ],
)
def test_which_host_an_alert_is_about(labels: dict[str, str], host: str) -> None:
    assert one("alertmanager", group(down("x", labels=labels))).host == host


def test_an_alert_without_a_fingerprint_is_known_by_its_labels() -> None:
    alerts = [
        {key: value for key, value in down(host).items() if key != "fingerprint"} for host in ("c01", "c01", "c02")
    ]
    first, same, other = read("alertmanager", group(*alerts))
    assert first.id == same.id != other.id


def test_heats_trigger_hands_on_what_the_queue_held() -> None:
    assert read("zaqar", TRIGGER) == read("zaqar", MESSAGE)
    assert read("zaqar", CONFIRMATION) == []


def test_a_plain_message() -> None:
    found = one("zaqar", {"body": PLAIN})
    assert (found.id, found.state, found.labels, found.at) == ("HostDown/c01", FIRING, {"rack": "r7"}, NOW)


@pytest.mark.parametrize(
    ("payload", "about", "state"),
    [
        (HOST, "COMPUTE_HOST/c01", FIRING),
        (notification("COMPUTE_HOST", {"event": "STARTED"}), "COMPUTE_HOST/c01", OK),
        (notification("VM", VM), "VM/c01/5d3a", FIRING),
        (notification("PROCESS", PROCESS), "PROCESS/c01/nova-compute", FIRING),
    ],
)
def test_masakaris_notifications(payload: Any, about: str, state: str) -> None:
    found = one("masakari", payload)
    assert (found.id, found.state, found.host, found.at) == (about, state, "c01", "2026-11-21T10:00:00.000Z")


@pytest.mark.parametrize("kind", ["VM", "PROCESS", "HOST"])
def test_a_notifications_payload_is_its_types(kind: str) -> None:
    with pytest.raises(BadInput, match="nothing that masakari sends"):
        read("masakari", notification(kind, HOST["notification"]["payload"]))


def test_pacemakers_resources() -> None:
    assert one("pacemaker", {"alert": RESOURCE, "reporter": "c01"}).state == FIRING
    fine = RESOURCE | {"rc": "0", "status": "0"}
    assert one("pacemaker", {"alert": fine, "reporter": "c01"}).state == OK


def test_what_is_yet_to_come_begins_now() -> None:
    assert one("alertmanager", group(down("c01", at="2999-01-01T00:00:00Z"))).at == NOW


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a body."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    found = copy.deepcopy(body)
    where = found
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    return found


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\x00\ud800") | st.just("x" * 400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(derandomize=True, database=None, deadline=None, max_examples=300)
@given(st.data())
def test_whatever_is_in_a_body_it_is_read_or_refused(data: st.DataObject) -> None:
    """Anything in any place of a real body: alarms that can be stored, or one sentence."""
    source, body = data.draw(st.sampled_from(BODIES))
    path = data.draw(st.sampled_from(list(places(body))))
    payload = changed(body, path, data.draw(ANYTHING))
    for alarm in read_or_refused(source, payload):
        kept = row(alarm, "u", NOW)
        assert json.loads(kept["labels"]) == alarm.labels
        for name, longest in (("event", 255), ("name", 255), ("host", 255), ("severity", 32)):
            assert len(kept[name]) <= longest
            assert not set(kept[name].encode("utf-8").decode()) & set(map(chr, range(32)))
        assert kept["began_at"] <= NOW


def read_or_refused(source: str, payload: Any) -> list[Alarm]:
    """The alarms in a payload; none where it is refused in a sentence."""
    try:
        return read(source, payload)
    except BadInput as error:
        told = str(error)
    assert len(told) < 500
    return []
