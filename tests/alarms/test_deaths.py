"""The listener is killed while alarms come: none that was accepted is lost, and no incident is ordered twice."""

import http.client
import signal
import threading
from collections import Counter
from pathlib import Path

from listening import EVACUATE, SECRET, TOKEN, Listening, ListenProcess, down, group, post
from waiting import until

from stackmend.alarms.ledger import SAME, STARTED

HOSTS = 12


def listens(directory: Path) -> ListenProcess:
    """A listener that orders evacuations."""
    trust = {"alertmanager": {"token": str(directory / "secret")}}
    return ListenProcess(directory, {"rules": [EVACUATE], "sources": trust}, f"sqlite:///{directory}/runs.sqlite")


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
        process = listens(tmp_path)
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
    process = listens(tmp_path)
    assert post(process.port, "/v1/alertmanager", group(down("c01")), TOKEN)[0] == 202
    assert process.end(signal.SIGTERM) == 0
    assert process.log.splitlines()[-1] == "stopped: what was accepted is stored"
