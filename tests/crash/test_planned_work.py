"""migrate-servers and host-maintenance, killed on the way: nothing is moved twice, and the end is the same."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calm import calm
from mortality import Nursery
from planned_work import SEED, PlannedWork

MIGRATE = ["run", "migrate-servers", "--host", "sim-c01", "--to", "sim-c02"]
MAINTAIN = ["run", "host-maintenance", "sim-c01", "--to", "sim-c02", "--home", "--move-stopped"]
WORK: dict[str, dict[str, Any]] = {
    "migrated": {"start": MIGRATE},
    "migrated and reverted": {"start": MIGRATE, "end": "reverted", "revert": True},
    "maintained": {"start": MAINTAIN},
    "maintained and reverted": {"start": MAINTAIN, "end": "reverted", "revert": True},
}


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with Nursery(tmp_path) as found:
        yield found


@pytest.mark.parametrize("kind", WORK)
def test_killed_and_resumed(make_desk: Any, nursery: Nursery, kind: str) -> None:
    """Before and after every effect, and at some of the writes between them; STACKMEND_TEST_EVERY=1: at all."""
    work = PlannedWork(calm(make_desk, **SEED), nursery, **WORK[kind])
    for die_at in work.moments(int(os.environ.get("STACKMEND_TEST_EVERY", "23"))):
        work.set_up()
        instants = work.go_on(die_at)
        where = f"instant {die_at}: {instants[die_at - 1]}"
        assert work.effects_now() == work.effects, where
        assert work.truth_now() == work.truth, where


CALLS = {
    "live migration": ({"body": "os-migrateLive"}, "migrated"),
    "cold migration": ({"body": '"migrate"'}, "migrated"),
    "confirmation": ({"body": "confirmResize"}, "migrated"),
    "switch": ({"method": "PUT", "path": "os-services"}, "maintained"),
}
FAILURES = {
    "refused": {"kind": "refused"},
    "busy": {"kind": "status", "status": 503},
    "cut before the effect": {"kind": "cut-before"},
    "cut after the effect": {"kind": "cut-after"},
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_fails_once(make_desk: Any, nursery: Nursery, call: str) -> None:
    """However it fails: the effect comes once, and the end is the same."""
    which, kind = CALLS[call]
    work = PlannedWork(calm(make_desk, **SEED), nursery, **WORK[kind])
    for failure, how in FAILURES.items():
        work.set_up()
        work.desk.cloud.fault(times=1, service="compute", **{"method": "POST", **which}, **how)
        work.go_on(None)
        assert [fault["met"] for fault in work.desk.cloud.faults()] == [1], failure
        assert work.effects_now() == work.effects, failure
        assert work.truth_now() == work.truth, failure
