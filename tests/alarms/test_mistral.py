"""Rules that start Mistral's workflows: once for an incident, whatever goes wrong on the way."""

import json
import statistics
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from listening import Listening, down
from waiting import until

from stackmend.alarms import decider
from stackmend.alarms.ledger import NOTED, REFUSED, RESOLVED, SAME, STARTED, STARTING
from stackmend.clients.mistral import Mistral
from stackmend.clients.signin import Timeouts, cloud_region

RULE: dict[str, Any] = {
    "name": "host-failure",
    "start": "mistral",
    "workflow": "stackmend.host-failure",
    "input": {"host": "{host}", "key": "{key}", "notify": ["ops", "{severity}"], "brake": {"most": 3}},
}


class Executions(ThreadingHTTPServer):
    """What of Mistral an execution's start meets: it keeps one an id. ``answers``: statuses to give before it does.

    0 is no answer after it was taken.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: dict[str, Any] = {}
        self.asked = 0
        self.answers: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    server: Executions

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked += 1
        status = self.server.answers.pop(0) if self.server.answers else 201
        if status in (0, 201) and self.path == "/v2/executions":
            self.server.taken.setdefault(body["id"], body)
        if status:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"faultstring": "there is no workflow"}')

    def log_message(self, *_: Any) -> None:
        """It tells nothing."""


@pytest.fixture
def executions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Executions]:
    monkeypatch.setattr(decider, "_START_AGAIN", 0.05)
    with Executions() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def mistral(executions: Executions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mistral:
    """As it is found by the name of a cloud."""
    endpoint = f"http://127.0.0.1:{executions.server_address[1]}/v2"
    cloud = {"auth_type": "none", "auth": {"endpoint": endpoint}, "workflow_endpoint_override": endpoint}
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"ours": cloud}}), encoding="utf-8")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return Mistral(cloud_region("ours", None), Timeouts(patience=0.0))


def test_a_workflow_is_started_once_under_an_id_of_the_incident(
    tmp_path: Path, executions: Executions, mistral: Mistral
) -> None:
    with Listening(tmp_path, [RULE], mistral.execute) as listening:
        for _ in range(10):
            listening.alert(down("c01"))
        assert listening.verdicts() == [STARTED] + 9 * [SAME]
        row = listening.ledger.find("1")
    ((name, body),) = executions.taken.items()
    assert (name, body["workflow_name"]) == (row.started_id, "stackmend.host-failure")
    assert body["input"] == {"host": "c01", "key": row.key, "notify": ["ops", "critical"], "brake": {"most": 3}}


@pytest.mark.parametrize("answers", [[503, 404, 500], [0, 0]], ids=["it refuses", "its answers are lost"])
def test_it_is_asked_until_it_took_it(
    tmp_path: Path, executions: Executions, mistral: Mistral, answers: list[int]
) -> None:
    executions.answers = list(answers)
    with Listening(tmp_path, [RULE], mistral.execute) as listening:
        listening.alert(down("c01"))
        assert listening.verdicts() == [STARTED]
    assert executions.asked == len(answers) + 1
    assert len(executions.taken) == 1


def test_while_it_refuses_the_alarm_tells_why_and_may_still_be_resolved(
    tmp_path: Path, executions: Executions, mistral: Mistral
) -> None:
    executions.answers = [404] * 1000
    with Listening(tmp_path, [RULE], mistral.execute) as listening:
        listening.alert(down("c01"))
        until(lambda: "was refused with 404" in listening.why(1), "its answer is told")
        assert "there is no workflow" in listening.why(1)
        assert listening.ledger.find("1").verdict == STARTING
        listening.alert(down("c01", status="resolved"))
        assert listening.verdicts() == [RESOLVED, NOTED]
    assert executions.taken == {}


def test_a_restarted_listener_goes_on_asking(tmp_path: Path, executions: Executions, mistral: Mistral) -> None:
    executions.answers = [503] * 1000
    with Listening(tmp_path, [RULE], mistral.execute) as listening:
        listening.alert(down("c01"))
        until(lambda: executions.asked, "it is asked")
    executions.answers = []
    with Listening(tmp_path, [RULE], mistral.execute) as listening:
        assert listening.verdicts() == [STARTED]
    assert len(executions.taken) == 1


def test_who_sends_an_alarm_waits_for_nothing_but_the_store(tmp_path: Path) -> None:
    """Mistral takes its time; meanwhile alarms are stored and answered."""
    asked, answers = threading.Event(), threading.Event()

    def execute(_workflow: str, _given: dict[str, Any], _execution: str) -> None:
        asked.set()
        answers.wait(60)

    with Listening(tmp_path, [RULE], execute) as listening:
        listening.alert(down("c00"))
        assert asked.wait(30)
        seconds = []
        for number in range(60):
            began = time.monotonic()
            listening.alert(down(f"c{number:02}"))
            seconds.append(time.monotonic() - began)
        assert listening.ledger.find("1").verdict == STARTING
        answers.set()
        assert listening.verdicts() == [STARTED, SAME] + 59 * [STARTED]
    # The rest is what else the machine has to do.
    assert statistics.median(seconds) < 0.1


def test_without_a_cloud_it_is_refused(tmp_path: Path) -> None:
    with Listening(tmp_path, [RULE]) as listening:
        listening.alert(down("c01"))
        assert listening.verdicts() == [REFUSED]
        assert "OS_CLOUD" in listening.why(1)
