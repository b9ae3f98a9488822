"""The alert agent as Pacemaker runs it: a program of its own, with what it has to say in its environment."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listening import EVACUATE, SECRET, Listening

from stackmend.alarms import pacemaker_alert, schemas
from stackmend.alarms.ledger import NO_RULE, NOTED, SAME, STARTED

AGENT = Path(pacemaker_alert.__file__)
RULE = {**EVACUATE, "source": "pacemaker", "match": {"name": "fencing", "label.operation": ["off", "reboot"]}}
# As seen of Pacemaker 2.1.5: a remote node that was fenced.
FENCED = {
    "kind": "fencing",
    "version": "2.1.5",
    "node_sequence": "9",
    "timestamp": "04:52:17.325326",
    "timestamp_epoch": "1795236737",
    "timestamp_usec": "325326",
    "node": "c03",
    "task": "st_notify_fence",
    "rc": "0",
    "desc": "Operation reboot of c03 by c02 for pacemaker-controld.66@c01: OK (ref=3fa7a51e-6caa-497c-9bf0)",
}


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    with Listening(tmp_path, [RULE], sources={"pacemaker": {"hmac": str(tmp_path / "secret")}}) as found:
        yield found


def agent(directory: Path, port: int, alert: dict[str, str], secret: str = SECRET, deadline: str = "20") -> Any:
    """Run it as Pacemaker does; nothing of this test's environment reaches it."""
    conf = directory / "alert.conf"
    conf.write_text(f"# for Pacemaker\nsecret={secret}\ndeadline={deadline}\n", encoding="utf-8")
    told = {f"CRM_alert_{name}": value for name, value in alert.items()}
    told["CRM_alert_recipient"] = f"http://127.0.0.1:{port}/v1/pacemaker"
    environment = {"PATH": os.environ["PATH"], "STACKMEND_ALERT_CONF": str(conf), "PCMK_service": "x", **told}
    return subprocess.run([str(AGENT)], env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_both_cluster_nodes_tell_of_one_fencing_and_one_run_is_ordered(listening: Listening, tmp_path: Path) -> None:
    lost = {"kind": "node", "node": "c03", "nodeid": "0", "desc": "lost", "timestamp_epoch": "1795236735"}
    for alert in (lost, FENCED, FENCED | {"node_sequence": "4"}, lost | {"desc": "member"}):
        ended = agent(tmp_path, listening.port, alert)
        assert (ended.returncode, ended.stderr) == (0, "")
    assert listening.verdicts() == [NO_RULE, STARTED, SAME, NOTED]
    assert listening.ordered()[0].parameters["host"] == "c03"
    assert listening.ledger.find("2").began_at == "2026-11-21T04:52:17.000Z"


@pytest.mark.parametrize(
    "change", [{"rc": "1"}, {"desc": FENCED["desc"].replace("reboot", "on")}, {"desc": "", "rc": "0"}, {"rc": ""}]
)
def test_what_proves_no_host_off_starts_nothing(listening: Listening, tmp_path: Path, change: dict[str, str]) -> None:
    assert agent(tmp_path, listening.port, FENCED | change).returncode == 0
    assert listening.verdicts() == [NOTED]


def test_a_wrong_secret_ends_it_at_once_and_is_not_told(listening: Listening, tmp_path: Path) -> None:
    ended = agent(tmp_path, listening.port, FENCED, secret="another secret of some length")
    assert ended.returncode == 1
    assert "401" in ended.stderr
    assert "another secret" not in ended.stderr
    assert listening.verdicts() == []


def test_it_tries_again_until_the_listener_is_there(tmp_path: Path) -> None:
    trust = {"pacemaker": {"hmac": str(tmp_path / "secret")}}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ended: list[Any] = []
    waits = threading.Thread(target=lambda: ended.append(agent(tmp_path, port, FENCED)))
    waits.start()
    with Listening(tmp_path, [RULE], sources=trust, listen=f"127.0.0.1:{port}") as listening:
        waits.join()
        assert ended[0].returncode == 0
        assert listening.verdicts() == [STARTED]


def test_its_deadline_is_kept(tmp_path: Path) -> None:
    ended = agent(tmp_path, 1, FENCED, deadline="0.5")
    assert ended.returncode == 1
    assert "refused" in ended.stderr


def test_it_sends_what_the_listener_knows() -> None:
    assert pacemaker_alert.FIELDS == schemas.PACEMAKER_FIELDS
