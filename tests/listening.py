"""A listener on a port of its own, and those who post to it."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from waiting import until

from stackmend.alarms import configuration
from stackmend.alarms.decider import Execute
from stackmend.alarms.ledger import STARTING, UNDECIDED, Ledger
from stackmend.alarms.server import Listener, in_thread
from stackmend.engine import orders
from stackmend.engine.store import Store

SECRET = "a secret of the tests, and no other"
TOKEN = {"Authorization": f"Bearer {SECRET}"}
EVACUATE: dict[str, Any] = {
    "name": "host-down",
    "procedure": "evacuate-host",
    "parameters": {"host": "{host}", "dead": "{source}: {name}"},
    "approval": "not",
}


def down(host: str, at: str = "2026-11-21T10:00:00Z", **more: Any) -> dict[str, Any]:
    """An alert of Prometheus' about a host, as Alertmanager shows it in a group."""
    labels = {"alertname": "HostDown", "instance": f"{host}:9100", "job": "node", "severity": "critical"}
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"{host} does not answer"},
        "startsAt": at,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": hashlib.sha256(host.encode()).hexdigest()[:16],
        **more,
    }


def group(*alerts: Mapping[str, Any]) -> dict[str, Any]:
    """What Alertmanager posts of some alerts."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HostDown"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "stackmend",
        "groupLabels": {"alertname": "HostDown"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": list(alerts),
    }


def over(host: str) -> dict[str, Any]:
    """That a host is up again."""
    return down(host, status="resolved", endsAt="2026-11-21T10:10:00Z")


class Listening:
    """A listener in this process, with a run store in ``directory``; ``said`` are its lines."""

    def __init__(
        self,
        directory: Path,
        rules: list[dict[str, Any]],
        execute: Execute | None = None,
        store: str = "",
        **settings: Any,
    ) -> None:
        self.secret = directory / "secret"
        self.secret.write_text(SECRET)
        self.secret.chmod(0o600)
        trust = {"alertmanager": {"token": str(self.secret)}, "aodh": {"token": str(self.secret)}}
        given = {"listen": "127.0.0.1:0", "sources": trust, "rules": rules, **settings}
        self.said: list[str] = []
        self.store = Store(store or f"sqlite:///{directory}/runs.sqlite")
        self.ledger = Ledger(self.store)
        self._listener = Listener(configuration.parsed(given, "the test"), self.store, self.said.append, execute)
        self.port = self._listener.port
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = in_thread(self._listener)
        until(lambda: _accepts(self.port), "the listener answers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        self._listener.stop()
        self._thread.join()
        self.store.close()

    def post(self, path: str, body: Any, headers: Mapping[str, str] = TOKEN) -> tuple[int, Any]:
        """The status and the body of the answer."""
        return post(self.port, path, body, headers)

    def get(self, path: str) -> tuple[int, str]:
        """The status and the text of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, answer.read().decode()
        connection.close()
        return found

    def alert(self, *alerts: Mapping[str, Any]) -> None:
        """Post a group of alerts that is taken."""
        assert self.post("/v1/alertmanager", group(*alerts))[0] == 202

    def verdicts(self) -> list[str]:
        """What became of the alarms, oldest first, when nothing is to be decided or started any more."""
        until(lambda: not self._busy(), "every alarm is decided")
        return [row.verdict for row in reversed(self.ledger.alarms(most=10_000))]

    def ordered(self) -> list[orders.Order]:
        """What was ordered."""
        self.verdicts()
        return orders.orders(self.store)

    def why(self, number: int) -> str:
        """Why became of an alarm what did."""
        return str(self.ledger.find(str(number)).why)

    def _busy(self) -> int:
        counts = self.ledger.counts()
        return counts[UNDECIDED] + counts[STARTING]


class ListenProcess:
    """`stackmend listen` as a process of its own on a free port, with these settings; `environment` if not ours."""

    def __init__(
        self, directory: Path, settings: Mapping[str, Any], store: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = directory / "listen.log"
        rules = directory / "rules.yaml"
        rules.write_text(yaml.safe_dump({"listen": "127.0.0.1:0", **settings}), encoding="utf-8")
        words = ["listen", "--rules", str(rules), "--store", store]
        with self._log.open("wb") as log:
            command = [sys.executable, "-W", "ignore", "-m", "stackmend", *words]
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
        found = until(lambda: re.search(r"listening at 127.0.0.1:(\d+)", self.log), "it listens", 120)
        self.port = int(found.group(1))

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8")

    def end(self, number: int) -> int:
        """Send it a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


def post(port: int, path: str, body: Any, headers: Mapping[str, str] = TOKEN) -> tuple[int, Any]:
    """Post ``body`` (bytes, or what is made JSON of); the status and the body of the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("POST", path, data, {"Content-Type": "application/json", **headers})
        with contextlib.closing(connection.getresponse()) as answer:
            text = answer.read()
    return answer.status, json.loads(text) if text.startswith(b"{") else text


def signed(source: str, body: bytes, secret: str = SECRET, ago: float = 0, delivery: str = "") -> dict[str, str]:
    """The headers of a delivery that was signed some seconds ago, written down as the guide says it."""
    timestamp, delivery = str(int(time.time() - ago)), delivery or str(uuid.uuid4())
    text = f"{source}.{timestamp}.{delivery}.".encode() + body
    signature = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return {
        "X-Stackmend-Timestamp": timestamp,
        "X-Stackmend-Delivery": delivery,
        "X-Stackmend-Signature": f"sha256={signature}",
    }


def basic(password: str) -> dict[str, str]:
    """The header of HTTP's basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"aodh:{password}".encode()).decode()}


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
