"""The listener is killed while alarms come: none that was accepted is lost, and no incident is ordered twice."""

import http.client
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import yaml
from listening import EVACUATE, SECRET, TOKEN, Listening, down, group, post
from waiting import until

from stackmend.alarms.ledger import SAME, STARTED

HOSTS = 12


class Process:
    """`stackmend listen` as a process of its own; the port is a free one."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "log"
        rules = {"listen": "127.0.0.1:0", "rules": [EVACUATE]}
        rules["sources"] = {"alertmanager": {"token": str(directory / "secret")}}
        (directory / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
        words = ["listen", "--rules", str(directory / "rules.yaml"), "--store", f"sqlite:///{directory}/runs.sqlite"]
        with self._log.open("wb") as log:
            command = [sys.executable, "-W", "ignore", "-m", "stackmend", *words]
            self.process = subprocess.Popen(command, stderr=log, stdout=log)
        found = until(lambda: re.search(r"listening at 127.0.0.1:(\d+)", self.log), "it listens")
        self.port = int(found.group(1))

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8")

    def end(self, number: int) -> int:
        """Send it a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


class Storm:
    """Threads that post alerts about a few hosts until the listener is gone; ``accepted`` are the alarms' ids."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.accepted: list[str] = []
        self._threads = [threading.Thread(target=self._post, args=(first,)) for first in range(8)]
        for thread in self._threads:
            thread.start()

    def over(self) -> None:
        """Wait until every thread has met the end of the listener."""
        for thread in self._threads:
            thread.join(30)

    def _post(self, number: int) -> None:
        while True:
            try:
                status, answer = post(self._port, "/v1/alertmanager", group(down(f"c{number % HOSTS:02}")))
            except (OSError, http.client.HTTPException):
                return
            assert status == 202
            self.accepted += answer["alarms"]
            number += 5


def test_a_killed_listener_has_lost_nothing_and_starts_nothing_twice(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    accepted = []
    for enough in (1, 200):
        process = Process(tmp_path)
        storm = Storm(process.port)
        until(lambda wanted=enough, storm=storm: len(storm.accepted) >= wanted, "alarms are accepted")
        assert process.end(signal.SIGKILL) == -signal.SIGKILL
        storm.over()
        accepted += storm.accepted
    with Listening(tmp_path, [EVACUATE]) as listening:
        verdicts = Counter(listening.verdicts())
        stored = {row.uuid for row in listening.ledger.alarms(most=100_000)}
        assert len(set(accepted)) == len(accepted)
        assert set(accepted) <= stored
        assert set(verdicts) == {STARTED, SAME}
        assert Counter(order.parameters["host"] for order in listening.ordered()).most_common(1)[0][1] == 1
        assert verdicts[STARTED] == len(listening.ordered())


def test_sigterm_ends_it_well(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    process = Process(tmp_path)
    assert post(process.port, "/v1/alertmanager", group(down("c01")), TOKEN)[0] == 202
    assert process.end(signal.SIGTERM) == 0
    assert process.log.splitlines()[-1] == "stopped: what was accepted is stored"
