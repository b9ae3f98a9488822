"""evacuate-host and host-return, killed and failed: no server is evacuated, started or rebooted twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_rehearsal import SERVERS, HostRehearsal
from living import LivingDesk, MakeLiving, make_living  # noqa: F401
from mortality import Nursery

HANDS = 2
# Of the instants that are no effect's, one of so many.
EVERY = 40
FAILURES: dict[str, dict[str, Any]] = {
    "refused": {"kind": "refused"},
    "busy": {"kind": "status", "status": 503},
    "cut before the effect": {"kind": "cut-before"},
    "cut after the effect": {"kind": "cut-after"},
}
CALLS: dict[str, list[dict[str, Any]]] = {
    "evacuate-host": [
        {"service": "compute", "method": "POST", "body": "evacuate"},
        {"service": "compute", "method": "POST", "body": "os-start"},
        {"service": "compute", "method": "PUT", "body": "disabled_reason"},
        {"service": "compute", "method": "PUT", "body": "forced_down"},
        {"service": "compute", "method": "GET", "path": "os-migrations"},
    ],
    "host-return": [
        {"service": "compute", "method": "POST", "body": "reboot"},
        {"service": "compute", "method": "PUT", "body": "forced_down"},
        {"service": "compute", "method": "PUT", "body": "enabled"},
        {"service": "compute", "method": "GET", "path": "uptime"},
    ],
}
QUICK = {"compute_timeout": 10, "power_timeout": 5}


def crashed(desk: LivingDesk) -> None:
    """The host hangs."""
    desk.crashes("sim-c01")


def evacuated(desk: LivingDesk) -> None:
    """All but one server have left the host, and it is held; its nova-compute will not start by itself."""
    desk.on_host("sim-c01", "systemctl mask nova-compute")
    desk.crashes("sim-c01")
    ended = desk.do("evacuate-host", "sim-c01", exclude="web")
    assert ended.code == 0, ended.err
    desk.cloud.host("sim-c01", "join")


BEGINNINGS = {"evacuate-host": (crashed, {}), "host-return": (evacuated, QUICK)}


@pytest.fixture(params=list(CALLS))
def struck(request: pytest.FixtureRequest, make_living: MakeLiving, tmp_path: Path) -> Iterator[HostRehearsal]:  # noqa: F811
    begin, parameters = BEGINNINGS[request.param]
    with Nursery(tmp_path) as nursery:
        desk = make_living(hosts=2, servers=SERVERS)
        yield HostRehearsal(desk, nursery, request.param, begin, **parameters)


@pytest.mark.parametrize("hand", range(HANDS))
def test_killed_and_resumed(struck: HostRehearsal, hand: int) -> None:
    moments = struck.moments(EVERY)[hand::HANDS]
    for die_at in moments:
        struck.survives(die_at)
    assert len(moments) > 3


@pytest.mark.parametrize("failure", FAILURES)
def test_a_call_that_fails_once(struck: HostRehearsal, failure: str) -> None:
    for call in CALLS[struck.procedure]:
        struck.set_up()
        struck.desk.cloud.fault(times=1, **FAILURES[failure], **call)
        life = struck.again()
        assert [fault["met"] for fault in struck.desk.cloud.faults()] == [1], f"{failure} never met {call}"
        assert life.code == 0, f"{failure}, {call}: {life.err}"
        struck.as_it_was(f"{failure}, {call}")
        struck.desk.cloud.clear_faults()
