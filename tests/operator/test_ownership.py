"""One run at a time for a target, one process at a time for a run; and whoever lost it does nothing more."""

import signal
from collections import Counter

import pytest
from desk import Desk, quick
from matrix.halting import paused
from waiting import until

START = ("run", "power-loss", "--yes", *quick())
ACTION = {"service": "compute", "method": "POST", "path": "/action$"}
ONCE = {"db": 1, "web": 1}


@pytest.fixture
def slow(pair: Desk) -> Desk:
    """Boots take a while, and servers come back one after another: time to be stopped in the middle."""
    pair.cloud.settings(boot_seconds=1.0)
    pair.settings(lanes=1, lease=1.0, settle=0.5)
    return pair


def booting(desk: Desk) -> bool:
    """Whether the first reboot has been asked for."""
    return bool(desk.cloud.journal("server.reboot"))


def test_a_second_run_over_the_same_server_names_the_first(pair: Desk) -> None:
    pair.cloud.fault("status", status=409, **{**ACTION, "path": f"{pair.servers['web']}/action$"})
    first = pair.run("--key", "first").data["run"]
    pair.cloud.clear_faults()
    pair.cloud.clear_journal()
    second = pair.run("--key", "second")
    assert second.code == 5
    assert all(text in second.err for text in (pair.servers["web"], first, "stackmend abandon"))
    assert (pair.touched(), pair.calls()) == ([], [])
    again = pair.run("--key", "second")
    assert (again.code, again.data["state"]) == (130, "pending"), again
    assert again.data["next"] == f"stackmend resume {again.data['run']}"
    assert pair.run("--key", "third", "--server", "db").code == 0
    assert pair.stackmend("abandon", "first").code == 0
    assert pair.stackmend("resume", "second").code == 0
    assert Counter(pair.rebooted()) == {"db": 2, "web": 1}


def test_two_processes_on_one_run(slow: Desk) -> None:
    fault = slow.cloud.fault("pause-before-effect", times=1, **ACTION)
    first = slow.process(*START, "--key", "storm")
    fault.wait(60)
    second = slow.stackmend("resume", "storm")
    assert second.code == 5
    assert all(text in second.err for text in (f"process {first.pid}", "stackmend watch", "--take-over"))
    assert slow.status("storm")["owner"].endswith(f"process {first.pid}")
    fault.release()
    assert slow.ended(first).code == 0
    assert Counter(slow.rebooted()) == ONCE


def test_a_run_that_was_taken_over(slow: Desk) -> None:
    fault = slow.cloud.fault("pause-after-effect", times=1, **ACTION)
    first = slow.process(*START, "--key", "storm")
    fault.wait(60)
    assert slow.stackmend("resume", "storm", "--take-over").code == 0
    before = slow.rows(), len(slow.cloud.calls()), slow.status("storm")
    fault.release()
    ended = slow.ended(first)
    assert (ended.code, "Traceback" in ended.err) == (5, False), ended.err
    assert "taken over" in ended.err or "away for longer" in ended.err
    mutating = slow.calls()
    assert Counter(slow.rebooted()) == ONCE
    assert len(mutating) == 2
    assert (slow.rows(), slow.status("storm")) == (before[0], before[2])


def test_a_process_that_was_paused_for_longer_than_its_lease(slow: Desk) -> None:
    first = slow.process(*START, "--key", "storm")
    until(lambda: booting(slow), "the first reboot", 60)
    until(lambda: paused(first.pid, slow.store), "paused between two writes: in one it would hold the store's lock")
    until(lambda: slow.status("storm")["state"] == "interrupted", "the lease has run out")
    resumed = slow.stackmend("resume", "storm")
    assert resumed.code == 0, resumed.err
    calls, status, rows = slow.calls(), slow.status("storm"), slow.rows()
    first.send_signal(signal.SIGCONT)
    ended = slow.ended(first)
    assert (ended.code, "Traceback" in ended.err) == (5, False), ended.err
    assert ended.err.splitlines()[-1].startswith("stackmend: ")
    assert (slow.calls(), slow.status("storm"), slow.rows()) == (calls, status, rows)
    assert Counter(slow.rebooted()) == ONCE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_later(slow: Desk, number: signal.Signals) -> None:
    first = slow.process(*START, "--key", "storm", "-f", "json")
    until(lambda: booting(slow), "the first reboot", 60)
    first.send_signal(number)
    ended = slow.ended(first)
    assert ended.code == 130, ended
    assert "stackmend resume" in ended.err
    assert "Traceback" not in ended.err
    assert (ended.data["state"], ended.data["owner"]) == ("interrupted", None)
    assert len(slow.rebooted()) == 1
    resumed = slow.stackmend("resume", "storm", "-f", "json")
    assert (resumed.code, resumed.data["state"]) == (0, "done")
    assert Counter(slow.rebooted()) == ONCE


def test_a_process_that_was_killed_is_known_to_be_dead_at_once(slow: Desk) -> None:
    slow.settings(lanes=1, lease=600.0, settle=0.5)
    first = slow.process(*START, "--key", "storm")
    until(lambda: booting(slow), "the first reboot", 60)
    first.kill()
    slow.ended(first)
    assert slow.status("storm")["state"] == "interrupted"
    assert slow.stackmend("resume", "storm").code == 0
    assert Counter(slow.rebooted()) == ONCE


def test_watch_follows_a_run_of_another_process(slow: Desk) -> None:
    first = slow.process(*START, "--key", "storm")
    until(lambda: booting(slow), "the first reboot", 60)
    watched = slow.stackmend("watch", "storm", "--interval", "0.1", "-f", "json")
    assert (watched.code, watched.data["state"]) == (0, "done")
    assert "running" in watched.err
    assert slow.ended(first).code == 0
