"""Faults: calls that fail, lag, lose their answer or stop at an exact instant."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from keystoneauth1.exceptions import ConnectFailure
from waiting import until

if TYPE_CHECKING:
    from conftest import Bench

ACTION = {"service": "compute", "method": "POST", "path": "/action$"}


def effects(bench: "Bench") -> list[str]:
    return [effect["target"] for effect in bench.cloud.journal("server.reboot")]


@pytest.mark.parametrize(("kind", "happened"), [("refused", 0), ("cut-before", 0), ("cut-after", 1)])
def test_lost_answers(bench: "Bench", kind: str, happened: int) -> None:
    bench.server("app-1")
    bench.cloud.fault(kind, times=1, **ACTION)
    with pytest.raises(ConnectFailure):
        bench.reboot("app-1")
    assert len(effects(bench)) == happened
    (call,) = [call for call in bench.cloud.calls() if call["method"] == "POST" and call["path"].endswith("/action")]
    assert call["status"] == 0


def test_status_with_headers_for_the_first_calls_only(bench: "Bench") -> None:
    bench.cloud.fault("status", status=429, headers={"Retry-After": "1"}, times=1, **ACTION)
    limited = bench.reboot("app-1")
    assert (limited.status_code, limited.headers["Retry-After"], effects(bench)) == (429, "1", [])
    assert bench.reboot("app-1").status_code == 202


def test_a_rule_can_let_calls_pass_first_and_look_into_bodies(bench: "Bench") -> None:
    bench.cloud.fault("status", status=503, body="os-stop", after=1, **ACTION)
    assert bench.act("app-1", **{"os-stop": None}).status_code == 202
    assert bench.reboot("web-1").status_code == 202
    assert bench.act("app-2", **{"os-stop": None}).status_code == 503
    bench.cloud.clear_faults()
    assert bench.act("app-2", **{"os-stop": None}).status_code == 202


def test_malformed_answer_after_the_effect(bench: "Bench") -> None:
    bench.cloud.fault("malformed", service="compute", path="/servers/[0-9a-f-]{36}$")
    answer = bench.compute("GET", f"/servers/{bench.servers['app-1']}")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
        answer.json()


def test_slow_calls_take_their_time(bench: "Bench") -> None:
    bench.server("app-1")
    bench.cloud.fault("slow", seconds=0.3, service="compute", times=1)
    began = time.monotonic()
    bench.server("app-1")
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(("kind", "happened"), [("pause-before-effect", 0), ("pause-after-effect", 1)])
def test_a_call_can_be_held_at_the_exact_instant(bench: "Bench", kind: str, happened: int) -> None:
    bench.server("app-1")
    fault = bench.cloud.fault(kind, times=1, **ACTION)
    answers = []
    caller = threading.Thread(target=lambda: answers.append(bench.reboot("app-1").status_code))
    caller.start()
    fault.wait()
    assert (len(effects(bench)), answers) == (happened, [])
    fault.release()
    caller.join(10)
    assert (len(effects(bench)), answers) == (1, [202])


def test_a_closed_service_refuses_connections_and_comes_back(bench: "Bench") -> None:
    bench.server("app-1")
    bench.cloud.service("compute", up=False)
    with pytest.raises(ConnectFailure):
        bench.server("app-1")
    assert bench.volume("web-1-vol1")["status"] == "in-use"
    bench.cloud.service("compute", up=True)
    assert bench.server("app-1")["status"] == "ACTIVE"


def test_admission_makes_calls_queue(bench: "Bench") -> None:
    bench.server("app-1")
    bench.cloud.settings(calls_at_once=1, call_delay=0.1)
    began = time.monotonic()
    callers = [threading.Thread(target=bench.server, args=("app-1",)) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert time.monotonic() - began >= 0.3


def test_expired_tokens_are_refused_and_got_anew(bench: "Bench") -> None:
    bench.server("app-1")
    bench.cloud.expire_tokens()
    assert bench.server("app-1")["status"] == "ACTIVE"
    assert 401 in [call["status"] for call in bench.cloud.calls()]


@pytest.mark.parametrize(("kind", "happened"), [("pause-before-effect", 0), ("pause-after-effect", 1)])
def test_a_caller_can_be_killed_at_the_exact_instant(bench: "Bench", kind: str, happened: int) -> None:
    fault = bench.cloud.fault(kind, times=1, **ACTION)
    command = Path(sys.executable).with_name("openstack")
    words = [command, "server", "reboot", "--hard", bench.servers["app-1"]]
    with subprocess.Popen(words, env=bench.cloud.environment(), stderr=subprocess.DEVNULL) as caller:
        fault.wait(30)
        caller.kill()
    assert len(effects(bench)) == happened
    fault.release()
    until(lambda: len(effects(bench)) == 1, "the call that was received is carried out")


def test_a_held_call_can_be_lost(bench: "Bench") -> None:
    bench.server("app-1")
    fault = bench.cloud.fault("pause-before-effect", times=1, **ACTION)
    failures: list[type[Exception]] = []

    def call() -> None:
        try:
            bench.reboot("app-1")
        except ConnectFailure as error:
            failures.append(type(error))

    caller = threading.Thread(target=call)
    caller.start()
    fault.wait()
    fault.release(lost=True)
    caller.join(10)
    assert (len(failures), effects(bench)) == (1, [])
