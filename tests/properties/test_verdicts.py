"""The four judges, asked about every pair of states that nova can tell of a server."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties.captures import DEAD, LEAVING, STATUSES, TARGET, TASK_STATES, VM_STATES, captures, disks, servers
from properties.examples import few
from properties.plans import sentence

from stackmend.engine.plan import VERDICTS
from stackmend.flows import migratable, movable, relocatable, repairs

Server = dict[str, Any]
_GONE = frozenset(["deleted", "soft-delete"])
_UNKNOWN = "a-state-of-a-later-release"


def in_every_state(server: Server) -> Iterator[Server]:
    """The server in every vm_state and task_state, those of a later release too."""
    for vm_state, task_state in itertools.product([*VM_STATES, _UNKNOWN], [None, *TASK_STATES, _UNKNOWN]):
        yield {**server, "vm_state": vm_state, "task_state": task_state}


def judged(server: Server, verdict: str, why: str) -> None:
    """What holds of each verdict."""
    assert verdict in VERDICTS
    sentence(why)
    if verdict == "ready":
        assert server["task_state"] not in LEAVING
        assert server["vm_state"] not in _GONE


@few(8)
@given(servers(0), st.booleans())
def test_movable(server: Server, shared: bool) -> None:
    for one in in_every_state(server):
        found = movable.judge(one, movable.Rules(shared, consent=["all"]))
        judged(one, found.verdict, found.why)
        assert isinstance(movable.ran(one), bool)


@few(8)
@given(servers(0), captures(), st.sampled_from([None, DEAD, TARGET, "nowhere"]))
def test_migratable(server: Server, captured: dict[str, Any], to: str | None) -> None:
    for one in in_every_state(server):
        found = migratable.judge(one, captured["computes"], to, ["all"])
        judged(one, found.verdict, found.why)
        assert (found.verdict == "ready") is bool(found.how)


@few(8)
@given(captures(), st.booleans())
def test_relocatable(captured: dict[str, Any], shared: bool) -> None:
    for server in captured["servers"]:
        for one in in_every_state(server):
            verdict, why = relocatable.judge(one, captured, relocatable.Rules(DEAD, TARGET, shared, ["all"]))
            judged(one, verdict, why)


@few(4)
@given(servers(0), servers(0), st.booleans())
def test_repairs_of_any_two_states(then: Server, now: Server, legacy: bool) -> None:
    for was in ("active", "stopped", "paused", "error", "suspended"):
        for one in in_every_state(now):
            found = repairs.judge({**then, "vm_state": was}, one, legacy)
            judged(one, found.verdict, found.why)
            assert found.verdict == "ready" or not (found.reboot or found.clear_task)


@few(8)
@given(disks("volume-0"), servers(0), st.booleans(), st.booleans())
def test_repairs_of_a_disk_in_every_status(disk: dict[str, Any], server: Server, runs: bool, legacy: bool) -> None:
    for status in STATUSES:
        now = {**server, "vm_state": "active" if runs else "stopped", "stopped_by": "user", "task_state": None}
        now["disks"] = [{**disk, "status": status}]
        found = repairs.judge(now, now, legacy)
        (repair,) = found.repairs
        sentence(repair.why)
        assert repair.action in repairs.VERDICTS
        if status in repairs.OTHERS_WORK:
            assert repair.action not in repairs.TOUCHED


@pytest.mark.parametrize("task", LEAVING)
def test_the_disks_of_a_stopped_server_are_not_repaired_while_it_leaves(task: str) -> None:
    """A stopped server that was being deleted when the power failed once got its volumes back."""
    disk = {"volume_id": "v", "root": False, "at_nova": True, "at_cinder": True, "multiattach": False}
    disk |= {"status": "error", "attach_status": "attached", "bdm_id": 1, "nova_attachment": "a", "others": []}
    disk |= {"cinder_attachment": "a", "restorable": False, "legacy_row": None}
    server = {"vm_state": "stopped", "task_state": task, "stopped_by": "user", "disks": [disk]}
    assert repairs.judge(server, server, legacy=False).verdict == "impossible"
