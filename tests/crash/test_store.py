"""The run store fails while a procedure runs: nothing is done that could not be noted first, and nothing is lost."""

import random
import resource
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from desk import Ended
from matrix import disturbances, page
from matrix.halting import Command, halted, paused, sampled
from matrix.scenarios import SCENARIOS
from matrix.stage import MakeStage, Stage
from mortality import Life, Nursery
from waiting import until

# The procedures, and how often each of the disturbances befalls each of them.
NAMES, TIMES = (list(SCENARIOS), 8) if page.WHOLE else (["power-loss", "migrate-servers"], 1)


def locked(stage: Stage, command: Command) -> Life:
    """Another process writes, and takes longer than anybody waits."""
    until(lambda: paused(command.pid, stage.desk.store), "no transaction is under way")
    with closing(sqlite3.connect(stage.desk.store, isolation_level=None)) as link:
        link.execute("BEGIN IMMEDIATE")
        return command.to_its_end()


def full(stage: Stage, command: Command) -> Life:
    """There is no room: no file of the process's may become larger."""
    size = max(Path(stage.desk.path("runs.sqlite-wal")).stat().st_size, 1 << 15)
    resource.prlimit(command.pid, resource.RLIMIT_FSIZE, (size, size))
    return command.to_its_end()


def read_only(stage: Stage, command: Command) -> Life:
    """It is killed, and whoever comes next may write neither to the file, nor to its directory."""
    command.leave()
    words, places = stage.due(), [*stage.desk.directory.glob("runs.sqlite*"), stage.desk.directory]
    modes = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    try:
        life = command.another(words)
    finally:
        for place, mode in modes.items():
            place.chmod(mode)
    refused(life, "writable")
    return life


def gone(stage: Stage, command: Command) -> Life:
    """Somebody moves the file away, and later back; meanwhile somebody else asks for the run."""
    away = stage.desk.directory / "elsewhere"
    stage.desk.store.rename(away)
    refused(stage.desk.stackmend("status", "work"), "put it back")
    life = command.to_its_end()
    assert not stage.desk.store.exists(), "another store was made in its place"
    away.rename(stage.desk.store)
    return life


@pytest.mark.parametrize("name", NAMES)
def test_goes_on_once_it_is_put_right(make_stage: MakeStage, nursery: Nursery, record: page.Record, name: str) -> None:
    stage = make_stage(name)
    for disturbed in (locked, full, read_only, gone):
        for at in sampled(stage, TIMES, random.Random(f"{page.SEED} {disturbed.__name__}")):
            with halted(nursery, stage, at, disturbances.halted_impatient) as command:
                done = stage.steps()
                said_so(disturbed(stage, command))
            sent_nothing_unnoted(stage)
            played = stage.go_on()
            played.done |= done
            stage.as_undisturbed(f"{disturbed.__name__}: {at}", played)
        record("the run store fails", name, **{disturbed.__name__.replace("_", " "): TIMES})


def said_so(life: Life) -> None:
    """It did all that it was asked for, or ended with one sentence about the store, which alone was wrong."""
    assert "Traceback" not in life.err
    if life.code not in (0, 6):
        refused(life, "run store")


def refused(life: Life | Ended, *words: str) -> None:
    """The exit code of the run store's errors, and a sentence that has these words."""
    last = life.err.splitlines()[-1]
    assert (life.code, last.startswith("stackmend: ")) == (8, True), life
    assert [word for word in words if word not in last] == [], last


def sent_nothing_unnoted(stage: Stage) -> None:
    """Every call to OpenStack that could change something bears a request id that is in the run store."""
    with closing(sqlite3.connect(stage.desk.store)) as link:
        (noted,) = link.execute("SELECT group_concat(meta) FROM atomdetails").fetchone()
    sent = [
        one
        for one in stage.desk.cloud.calls()
        if one["method"] != "GET" and one["service"] not in ("identity", "redfish")
    ]
    assert [one for one in sent if str(one["global_request_id"]) not in (noted or "")] == []
