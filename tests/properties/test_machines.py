"""What machines answer: fence agents, hooks, guests, service managers. Nothing passes for an answer that is none."""

import stat
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from properties.examples import few
from properties.plans import refusal

from stackmend.clients import hooks
from stackmend.clients.fencing import OFF, ON, Fences
from stackmend.clients.inventory import Host, Inventory
from stackmend.clients.ssh import Command, Result
from stackmend.engine.journal import Record
from stackmend.errors import NeedsHands, StackmendError
from stackmend.tasks.compute_place import Place, facts_of
from stackmend.tasks.guests import RebootInside

said = st.binary(max_size=30) | st.sampled_from(
    [b"Status: ON\n", b"Status: OFF", b"status: on status: off", b"\xff\xfe Status: ON", b"\n\n", b"Traceback\n" * 99]
)
results = st.builds(
    Result,
    st.integers(0, 3),
    st.text(max_size=20)
    | st.sampled_from(
        ["", "true", "false no", "true  false x", "ActiveState=active\nLoadState=loaded", "LoadState=masked"]
    ),
    st.text(max_size=20),
)
Agent = Callable[[bytes, int], Fences]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """A fence agent that says so, and exits so."""
    program, answer = tmp_path / "fence_any", tmp_path / "answer"

    def make(words: bytes, code: int) -> Fences:
        answer.write_bytes(words)
        program.write_text(f"#!/bin/sh\ncat >/dev/null\ncat {answer}\nexit {code}\n", encoding="utf-8")
        program.chmod(stat.S_IRWXU)
        return Fences(Inventory({"hosts": {"c01": {"fence": {"agent": str(program)}}}}), seconds=10)

    return make


@few(25)
@given(words=said, code=st.integers(0, 4))
@example(words=b"\xff Status: ON", code=0)
def test_a_fence_agent(agent: Agent, words: bytes, code: int) -> None:
    fences = agent(words, code)
    for ask in (lambda: fences.power("c01"), lambda: fences.switch("c01", OFF)):
        try:
            told = ask()
        except StackmendError as error:
            refusal(error)
        else:
            assert told.isprintable() or told in (ON, OFF) or "\n" not in told
    if code not in (0, 2):
        with pytest.raises(StackmendError, match="can't tell"):
            fences.power("c01")


@pytest.mark.parametrize("value", ["10.0.0.1\naction=on", "\n"])
def test_an_option_of_a_fence_agent_is_no_second_order(value: str) -> None:
    fence = {"agent": "fence_never_run", "options": {"ip": value}}
    fences = Fences(Inventory({"hosts": {"c01": {"fence": fence}}}))
    with pytest.raises(StackmendError, match="more than one line"):
        fences.switch("c01", OFF)


@few(15)
@given(words=said, code=st.integers(0, 3))
@example(words=b"\xff", code=0)
def test_a_hook(tmp_path: Path, words: bytes, code: int) -> None:
    (tmp_path / "answer").write_bytes(words)
    try:
        hooks.run(hooks.Hook("c01", f"cat {tmp_path}/answer; exit {code}"), 10)
        assert code == 0
    except StackmendError as error:
        refusal(error)


class Guest:
    """A guest whose shell says the same to every command."""

    def __init__(self, words: str, code: int) -> None:
        self.result = Result(code, words, "")

    def run(self, _command: Command) -> Result:
        return self.result


class Patience:
    """A step's journal, for as long as the step looks once."""

    def check(self) -> None:
        """It may go on."""

    def pause(self, _seconds: float) -> None:
        threading.Event().wait(0.001)


@few(25)
@given(words=st.text(max_size=20) | st.uuids().map(str) | st.uuids().map("last login: never\n{}\n".format))
@example(words="")
@example(words="-bash: cat: command not found")
def test_only_another_boot_id_proves_a_reboot(words: str) -> None:
    step = RebootInside("server", "10.0.0.1", None, seconds=0.002)
    before = str(uuid.UUID(int=1))
    record = Record("", intended="then", before={"boot_id": before}, answered="yes")
    began = time.monotonic()
    try:
        evidence = step.confirm(record, Patience(), Guest(words, 0))
    except NeedsHands as error:
        refusal(error)
        assert time.monotonic() - began >= step.seconds
    else:
        assert uuid.UUID(evidence["boot_id"]) != uuid.UUID(before)
        assert evidence["boot_id"] in words


@given(results, st.booleans())
@example(Result(0, "", ""), True)
@example(Result(0, "LoadState=masked", ""), False)
def test_a_nova_compute_is_stopped_only_where_its_manager_says_so(result: Result, container: bool) -> None:
    place = Place(**{**facts_of(Host("c01")), "container": "nova_compute" if container else ""})
    try:
        found = place.state_in(result)
    except NeedsHands as error:
        refusal(error)
        return
    assert result.exit_status == 0
    word = result.stdout.split()[0] if container else ""
    assert found["running"] is (word == "true") if container else "ActiveState=" in result.stdout
    place.changing(result, steady=True)
