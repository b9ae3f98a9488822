"""What alarms start: an incident is one run, however often and by whomever it is told."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from listening import EVACUATE, Listening, down, group, over, post
from waiting import until

from stackmend.alarms import rules
from stackmend.alarms.alarm import alarm
from stackmend.alarms.ledger import HELD, NOTED, QUIET, REFUSED, RESOLVED, SAME, STARTED, STARTING, WAITING, row
from stackmend.engine import clock, orders, tables
from stackmend.engine.database import writing
from stackmend.errors import BadInput

LONG_AGO = "2026-01-01T00:00:00.000Z"


def test_an_alarm_orders_what_its_rule_says(tmp_path: Path) -> None:
    with Listening(tmp_path, [EVACUATE]) as listening:
        listening.alert(down("c01"))
        (order,) = listening.ordered()
    assert (order.procedure, order.approved) == ("evacuate-host", True)
    assert order.parameters == {"host": "c01", "dead": "alertmanager: HostDown"}
    assert order.asked_by == "alarm 1 (rule host-down)"


def test_approval_is_asked_for_unless_the_rule_says_that_none_is_needed(tmp_path: Path) -> None:
    with Listening(tmp_path, [{**EVACUATE, "approval": "needed"}]) as listening:
        listening.alert(down("c01"))
        assert not listening.ordered()[0].approved
        assert "waits for approval" in listening.why(1)


def test_the_same_alarm_a_hundred_times_is_one_order(tmp_path: Path) -> None:
    with Listening(tmp_path, [EVACUATE]) as listening:

        def again(_: int) -> int:
            return post(listening.port, "/v1/alertmanager", group(down("c01")))[0]

        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(again, range(100))) == {202}
        assert listening.verdicts() == [STARTED] + 99 * [SAME]
        assert len(listening.ordered()) == 1
        assert "alarm 1" in listening.why(50)


def test_one_host_told_of_by_two_sources_is_one_order(tmp_path: Path) -> None:
    traits = [["host", 1, "c01"]]
    aodh = {
        "alarm_name": "compute down",
        "alarm_id": "7e1c",
        "severity": "critical",
        "previous": "ok",
        "current": "alarm",
        "reason": "an event",
        "reason_data": {"type": "event", "event": {"event_type": "compute.down", "traits": traits}},
    }
    with Listening(tmp_path, [EVACUATE]) as listening:
        listening.alert(down("c01"))
        assert listening.post("/v1/aodh", aodh)[0] == 202
        assert listening.verdicts() == [STARTED, SAME]


def test_the_brake_holds_a_storm_and_asks(tmp_path: Path) -> None:
    """Of forty hosts three are ordered; a held one goes on when it is released, and one that is over can't."""
    with Listening(tmp_path, [{**EVACUATE, "brake": {"most": 3, "seconds": 600}}]) as listening:
        for number in range(40):
            listening.alert(down(f"c{number:02}"))
        assert listening.verdicts() == 3 * [STARTED] + 37 * [HELD]
        assert len(listening.ordered()) == 3
        assert "`stackmend alarm release 4`" in listening.why(4)
        listening.alert(down("c03"))
        listening.alert(over("c04"))
        assert listening.verdicts()[-2:] == [SAME, NOTED]
        listening.ledger.release("4")
        assert len(listening.ordered()) == 4
        with pytest.raises(BadInput, match="alarm 5 is not held by the brake: it is resolved"):
            listening.ledger.release("5")


def test_with_a_wait_the_brake_sees_the_storm_before_anything_starts(tmp_path: Path) -> None:
    with Listening(tmp_path, [{**EVACUATE, "wait": 1, "brake": {"most": 3, "seconds": 600}}]) as listening:
        listening.alert(*(down(f"c{number:02}") for number in range(40)))
        until(lambda: WAITING not in listening.verdicts(), "the wait is over")
        assert listening.verdicts() == 40 * [HELD]
        assert listening.ordered() == []


def test_resolved_before_start_starts_nothing(tmp_path: Path) -> None:
    with Listening(tmp_path, [{**EVACUATE, "wait": 600}]) as listening:
        listening.alert(down("c01"))
        assert listening.verdicts() == [WAITING]
        listening.alert(over("c01"))
        assert listening.verdicts() == [RESOLVED, NOTED]
        assert "alarm 2" in listening.why(1)
        assert listening.ordered() == []


def test_resolved_in_the_same_post_starts_nothing(tmp_path: Path) -> None:
    with Listening(tmp_path, [EVACUATE]) as listening:
        listening.alert(down("c01"), over("c01"))
        assert listening.verdicts() == [RESOLVED, NOTED]
        assert listening.ordered() == []


def test_what_waits_long_enough_starts(tmp_path: Path) -> None:
    with Listening(tmp_path, [{**EVACUATE, "wait": 0.3}]) as listening:
        listening.alert(down("c01"))
        until(lambda: listening.verdicts() == [STARTED], "it starts")


def _end(listening: Listening, ended_at: str, state: str = orders.CARRIED_OUT) -> None:
    """Let the first order's run be over, as a worker leaves it."""
    (order,) = listening.ordered()
    run = {"id": "r" * 36, "key": order.key, "procedure": "evacuate-host", "version": "1", "cloud": "", "digest": ""}
    run |= {"plan": "{}", "created_at": ended_at, "created_by": "", "ended_at": ended_at, "epoch": 0}
    with writing(listening.store.engine) as connection:
        connection.execute(sa.insert(tables.RUNS), [run])
        settled = {"state": state, "run_id": run["id"] if state == orders.CARRIED_OUT else None}
        connection.execute(sa.update(tables.ORDERS).values(**settled))


def test_an_alarm_that_goes_on_after_the_run_is_the_same_incident_for_ever(tmp_path: Path) -> None:
    """A host that was evacuated stays down, and Alertmanager repeats that for days."""
    with Listening(tmp_path, [{**EVACUATE, "quiet": 0.001}]) as listening:
        listening.alert(down("c01", at=LONG_AGO))
        _end(listening, "2026-02-01T00:00:00.000Z")
        listening.alert(down("c01", at=LONG_AGO))
        assert listening.verdicts() == [STARTED, SAME]
        assert "began before that ended" in listening.why(2)


def test_a_host_that_dies_again_is_another_incident_after_the_quiet_time(tmp_path: Path) -> None:
    with Listening(tmp_path, [{**EVACUATE, "quiet": 60}]) as listening:
        listening.alert(down("c01", at=LONG_AGO))
        _end(listening, "2026-02-01T00:00:00.000Z")
        listening.alert(down("c01", at="2026-02-02T00:00:00Z"))
        assert listening.verdicts() == [STARTED, STARTED]
        assert len({order.key for order in listening.ordered()}) == 2


def test_in_the_quiet_time_nothing_starts_again(tmp_path: Path) -> None:
    with Listening(tmp_path, [{**EVACUATE, "quiet": 3600}]) as listening:
        listening.alert(down("c01", at=LONG_AGO))
        _end(listening, clock.now())
        listening.alert(down("c01", at="2100-01-01T00:00:00Z"))
        assert listening.verdicts() == [STARTED, QUIET]


def test_what_was_refused_may_be_asked_for_again_after_the_quiet_time(tmp_path: Path) -> None:
    with Listening(tmp_path, [{**EVACUATE, "quiet": 0.001}]) as listening:
        listening.alert(down("c01"))
        _end(listening, clock.now(), orders.REFUSED)
        listening.alert(down("c01"))
        assert listening.verdicts() == [STARTED, STARTED]


@pytest.mark.parametrize("labels", [{"alertname": "HostDown"}, {"alertname": "HostDown", "host": "x" * 300}])
def test_an_alarm_that_says_too_little_is_refused_and_kept(tmp_path: Path, labels: dict[str, str]) -> None:
    with Listening(tmp_path, [EVACUATE]) as listening:
        listening.alert(down("c01", labels=labels))
        assert listening.verdicts() == [REFUSED]
        assert "{host}" in listening.why(1)


def test_two_listeners_of_one_store_decide_as_one(tmp_path: Path) -> None:
    given: list[dict[str, Any]] = [{**EVACUATE, "brake": {"most": 3, "seconds": 600}}]
    with Listening(tmp_path, given) as one, Listening(tmp_path, given) as other:

        def storm(number: int) -> None:
            (one if number % 2 else other).alert(down(f"c{number % 20:02}"))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(storm, range(80)))
        verdicts = one.verdicts()
        assert (verdicts.count(STARTED), verdicts.count(HELD), verdicts.count(SAME)) == (3, 17, 60)
        assert len(one.ordered()) == 3


@pytest.mark.parametrize("placed", [False, True], ids=["before the order", "after the order"])
def test_what_a_dead_listener_left_goes_on(tmp_path: Path, placed: bool) -> None:
    """It was killed after it had decided, and before it had noted that the order was placed."""
    known = [rules.Rule(**EVACUATE)]
    one = alarm("alertmanager", "1", "HostDown", "firing", host="c01", at=LONG_AGO)
    listening = Listening(tmp_path, [EVACUATE])
    left = row(one, "u" * 36, clock.now())
    start = rules.first(known, one)
    assert start is not None
    key = "evacuate-host/c01/then"
    wanted = start.order(key)
    left |= {"verdict": STARTING, "rule": "host-down", "target": start.target, "key": key, "start": json.dumps(wanted)}
    listening.ledger.keep([left])
    if placed:
        orders.place(listening.store, key, wanted["procedure"], wanted["parameters"], True)
    with listening:
        assert listening.verdicts() == [STARTED]
        assert [order.key for order in listening.ordered()] == [key]
