"""Real small processes: what is told when one does not work, and that what is ended is gone with all it started."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.lab.control import LabError
from stackmend.lab.openstack import health
from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.processes import PAUSED, RUNNING, STOPPED, Processes
from stackmend.lab.openstack.starting import Start

_SERVER = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
_CLIENT = """
import socket, sys, time
socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
time.sleep(60)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes with nothing but a path for their programs."""
    found = Processes(tmp_path / "run", tmp_path / "logs", {"PATH": os.environ["PATH"]})
    yield found
    found.kill(*(path.stem for path in (tmp_path / "run").glob("*.pid")))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shell(name: str, script: str, **more: int) -> Daemon:
    return Daemon(name, ("sh", "-c", script), **more)  # type: ignore[arg-type]


def test_one_that_dies_says_so_with_its_code_and_its_last_words(processes: Processes) -> None:
    daemon = shell("keystone", "seq 100; echo the fernet keys are missing >&2; exit 3", port=free_port())
    with pytest.raises(LabError, match=r"^keystone exited with code 3; the last lines of .*keystone\.log:\n") as caught:
        Start(processes, [daemon]).run()
    lines = str(caught.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [*map(str, range(87, 101)), "the fernet keys are missing"]


def test_one_whose_program_is_missing_says_so(processes: Processes) -> None:
    with pytest.raises(LabError, match=r"glance-api exited with code 127; .*(?s:.*)no-such-program"):
        Start(processes, [Daemon("glance-api", ("no-such-program",), port=free_port())]).run()


def test_one_that_does_not_answer_in_time_says_so(processes: Processes) -> None:
    daemon = shell("nova-api", "echo loading; sleep 60", port=free_port())
    with pytest.raises(LabError, match=r"nova-api did not answer within 0\.5 s; (?s:.*)loading"):
        Start(processes, [daemon], patience=0.5).run()


def test_a_port_that_somebody_else_has_is_refused(processes: Processes) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LabError, match=f"mariadbd can't have port {port}: another lab"):
            Start(processes, [shell("mariadbd", "sleep 60", port=port)]).run()
    assert processes.state("mariadbd") == STOPPED


def test_what_waits_for_one_that_fails_is_not_started(processes: Processes) -> None:
    dies = shell("mariadbd", "exit 1", port=free_port())
    waits = Daemon("keystone", ("sleep", "60"), after=("mariadbd",))
    with pytest.raises(LabError, match="mariadbd exited with code 1"):
        Start(processes, [waits, dies]).run()
    assert processes.state("keystone") == STOPPED


def test_one_starts_when_what_it_needs_answers(processes: Processes) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    server = Daemon("keystone", (sys.executable, "-c", _SERVER, str(port)), url=url, port=port)
    needs = Daemon("nova-compute", (sys.executable, "-c", _CLIENT, str(port)), after=("keystone",))
    Start(processes, [needs, server]).run()
    log = processes.log("nova-compute")
    assert health.until(lambda: log.exists() and log.read_text() == "connected\n", 10)


def test_what_is_ended_is_gone_with_all_that_it_started(processes: Processes) -> None:
    for end in (processes.kill, processes.stop):
        processes.start(shell("family", "sleep 300 & echo $!; trap '' TERM; wait; sleep 300"))
        assert health.until(lambda: bool(_child(processes)), 5)
        child = _child(processes)
        end("family")
        assert processes.state("family") == STOPPED
        assert not Path(f"/proc/{child}").exists() or _state(child) == "Z"
        processes.log("family").unlink()


def _child(processes: Processes) -> str:
    log = processes.log("family")
    return log.read_text().strip() if log.exists() else ""


def _state(pid: str) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_one_that_is_paused_goes_on(processes: Processes) -> None:
    processes.start(shell("compute", "sleep 60"))
    processes.pause("compute")
    assert processes.state("compute") == PAUSED
    processes.resume("compute")
    assert health.until(lambda: processes.state("compute") == RUNNING, 5)


def test_one_that_starts_children_all_the_time_is_paused(processes: Processes) -> None:
    processes.start(shell("compute", "while :; do /bin/true; done"))
    for _ in range(20):
        processes.pause("compute")
        assert processes.state("compute") == PAUSED
        processes.resume("compute")


def test_another_process_with_the_same_id_is_not_taken_for_ours(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mariadbd.pid").write_text(f"{os.getpid()} 1\n")
    assert processes.state("mariadbd") == STOPPED
    processes.kill("mariadbd")
    (tmp_path / "run" / "mariadbd.pid").unlink()


def test_only_what_the_lab_gives_is_inherited(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "secret")
    processes.start(shell("env", "env; sleep 60"))
    assert health.until(lambda: "PATH=" in processes.log("env").read_text(), 5)
    assert not re.search("OS_|secret", processes.log("env").read_text())
