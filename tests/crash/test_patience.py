"""A call that was refused is tried again only by whoever still owns the run, and only until somebody stops it."""

import signal
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest
from desk import Desk, quick
from matrix import page
from waiting import until

START = ("run", "power-loss", "--yes", "--key", "storm", *quick())
REBOOT = {"service": "compute", "method": "POST", "path": "/action$", "body": "reboot"}
ONCE = {"db": 1, "web": 1}


@pytest.fixture
def pair(pair: Desk) -> Desk:
    """One lane at a time, and a lease of which nothing is noticed."""
    pair.settings(lanes=1, lease=60.0, settle=0.5)
    return pair


def busy(desk: Desk, seconds: int) -> None:
    """Nova asks whoever wants a reboot to come back in so many seconds, once."""
    desk.cloud.fault("status", status=503, headers={"Retry-After": f"{seconds}"}, times=1, **REBOOT)


def refused(desk: Desk) -> bool:
    """Whether that has happened."""
    return any(fault["met"] for fault in desk.cloud.faults())


def test_whoever_was_taken_over_tries_nothing_again(pair: Desk) -> None:
    """It hears of that when it is about to: its lease has long to go."""
    busy(pair, 6)
    first = pair.process(*START)
    until(lambda: refused(pair), "the reboot was refused", 60)
    taken = pair.stackmend("resume", "storm", "--take-over")
    assert taken.code == 0, taken.err
    before = pair.calls(), pair.status("storm"), pair.rows()
    ended = pair.ended(first)
    assert (ended.code, "Traceback" in ended.err, "taken over" in ended.err) == (5, False, True), ended.err
    assert (pair.calls(), pair.status("storm"), pair.rows()) == before
    assert Counter(pair.rebooted()) == ONCE


@pytest.mark.skipif(not page.WHOLE, reason="it takes a while, and make matrix has it")
def test_whoever_takes_over_waits_for_the_last_try(pair: Desk) -> None:
    """Not for the intent, which is older: the call that was tried again is in the air, and is not sent anew."""
    pair.settings(lanes=1, lease=60.0, settle=30.0)
    busy(pair, 31)
    held = pair.cloud.fault("pause-before-effect", times=1, **REBOOT)
    first = pair.process(*START)
    held.wait(60)
    first.kill()
    pair.ended(first)
    known = len(pair.cloud.calls())
    resumed = pair.process("resume", "storm")
    until(lambda: looks(pair, known) > 2 or pair.rebooted(), "whoever resumes has looked again and again")
    assert pair.rebooted() == []
    held.release()
    ended = pair.ended(resumed)
    assert ended.code == 0, ended.err
    assert Counter(pair.rebooted()) == ONCE


def looks(desk: Desk, since: int) -> int:
    """How often a server's actions were asked for."""
    return sum("os-instance-actions" in one["path"] for one in desk.cloud.calls()[since:])


def stays_busy(desk: Desk) -> "subprocess.Popen[str]":
    """Nova asks whoever wants a reboot to come back in most of a minute."""
    busy(desk, 50)
    process = desk.process(*START)
    until(lambda: refused(desk), "the reboot was refused", 60)
    return process


def closes(desk: Desk) -> "subprocess.Popen[str]":
    """Nova is gone, in the middle of a reboot."""
    held = desk.cloud.fault("pause-before-effect", times=1, **REBOOT)
    process = desk.process(*START)
    held.wait(60)
    desk.cloud.service("compute", up=False)
    held.release(lost=True)
    return process


@pytest.mark.parametrize("befall", [stays_busy, closes])
def test_whoever_is_stopped_tries_nothing_again(pair: Desk, befall: Callable[[Desk], "subprocess.Popen[str]"]) -> None:
    """At once: patience has most of a minute to go."""
    process = befall(pair)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in err) == (130, False), err
    assert pair.rebooted() == []
    pair.cloud.clear_faults()
    pair.cloud.service("compute", up=True)
    resumed = pair.stackmend("resume", "storm")
    assert resumed.code == 0, resumed.err
    assert Counter(pair.rebooted()) == ONCE
