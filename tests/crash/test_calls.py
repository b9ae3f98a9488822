"""Each API call of each procedure, failing once in every way: tried again, or told and tried again by an operator.

Whatever it was, the end is as if nothing had failed, and each effect has come once.
"""

import pytest
from matrix import page
from matrix.calls import FAILURES, failing
from matrix.scenarios import SCENARIOS
from matrix.stage import MakeStage

# Of what only reads, a failure that was before the effect is none after it.
_READING = ("busy", "malformed", "token expired", "cut before the effect", "timed out")
_CELLS = [
    pytest.param(name, failure, id=f"{name}: {failure}")
    for name, scenario in SCENARIOS.items()
    for failure in FAILURES
    if not scenario.reverted
]


@pytest.mark.parametrize(("name", "failure"), _CELLS[:: 1 if page.WHOLE else 13])
def test_a_call_that_fails_once(make_stage: MakeStage, record: page.Record, name: str, failure: str) -> None:
    stage = make_stage(name)
    calls = [call for call in failing(stage) if call.method != "GET" or failure in _READING]
    failed = 0
    for call in calls if page.WHOLE else calls[::7]:
        with call.disturbed(stage, **FAILURES[failure]) as played:
            (met,) = [fault["met"] for fault in stage.desk.cloud.faults()]
            # Some looks come only where what is looked for takes its time.
            assert met or call.method == "GET", f"{failure} never met {call}"
            assert "Traceback" not in played.err, f"{failure}, {call}: {played.err}"
            stage.as_undisturbed(f"{failure}, {call}", played, refused=failure == "conflict")
            failed += met
    assert failed > 0
    record("calls that fail", name, calls=len(calls) if failure == "busy" else 0, failures=failed)
