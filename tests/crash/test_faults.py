"""power-loss while services fail in mid-call: each effect once, and the end as if nothing had failed."""

import pytest
from rehearsal import Rehearsal, essence

CALLS = {
    "reboot": {"service": "compute", "method": "POST", "body": "reboot"},
    "clear-task": {"service": "compute", "method": "POST", "body": "os-resetState"},
    "reset-status": {"service": "volume", "method": "POST", "body": "os-reset_status"},
    "reattach": {"service": "compute", "method": "POST", "path": "os-volume_attachments"},
    "list": {"service": "compute", "method": "GET", "path": "servers/detail"},
}
FAILURES = {
    "refused": {"kind": "refused"},
    "busy": {"kind": "status", "status": 503},
    "too many": {"kind": "status", "status": 429, "headers": {"Retry-After": "0"}},
    "token expired": {"kind": "status", "status": 401},
    "cut before the effect": {"kind": "cut-before"},
    "cut after the effect": {"kind": "cut-after"},
    "server error after nothing": {"kind": "status", "status": 500},
    "malformed": {"kind": "malformed"},
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_call_that_fails_once(rehearsal: Rehearsal, failure: str) -> None:
    """Whichever call it is that fails, and however."""
    for call, which in CALLS.items():
        rehearsal.set_up()
        rehearsal.desk.cloud.fault(times=1, **FAILURES[failure], **which)
        life = rehearsal.recover()
        assert [fault["met"] for fault in rehearsal.desk.cloud.faults()] == [1], f"{failure} never met {call}"
        assert life.code == 0, f"{failure}, {call}: {life.err}"
        assert rehearsal.effects_now() == rehearsal.effects, f"{failure}, {call}"
        assert essence(rehearsal.desk) == rehearsal.rows, f"{failure}, {call}"
        rehearsal.desk.cloud.clear_faults()


def test_a_reboot_whose_answer_was_lost_within_the_second_of_another_change(rehearsal: Rehearsal) -> None:
    """Nova's times have whole seconds: then only the event of the reboot's own action proves it."""
    for _ in range(5):
        rehearsal.set_up()
        # The stuck task is cleared right before: both changes of the server bear the same second.
        rehearsal.desk.cloud.fault("cut-after", times=1, **CALLS["reboot"], after=1)
        life = rehearsal.recover()
        assert life.code == 0, life.err
        assert rehearsal.effects_now() == rehearsal.effects
        rehearsal.desk.cloud.clear_faults()
