"""A Redfish controller with TLS that really switches machines: sushy-tools tells us of each change of power."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import bcrypt
from ha.machines import CONTROLLER, Node, accepts
from hosts.bmc import SECRET, USER
from waiting import until

PORT = 8000
_SYSTEMS = "/redfish/v1/Systems"
_RESET = re.compile(rf"^([\d.]+) .*POST {_SYSTEMS}/([^/]+)/Actions/ComputerSystem.Reset", re.MULTILINE)


def certificate(directory: Path) -> None:
    """``tls.crt`` and ``tls.key`` for our end of the bridge; nobody but its file vouches for it."""
    subject = ["-subj", f"/CN={CONTROLLER}", "-addext", f"subjectAltName=IP:{CONTROLLER}"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    files = ["-keyout", str(directory / "tls.key"), "-out", str(directory / "tls.crt")]
    subprocess.run([*made, *files], check=True, capture_output=True)


class Supply:
    """The power of some machines, and when it was cut."""

    def __init__(self, nodes: Mapping[str, Node], directory: Path) -> None:
        self.cuts: list[tuple[str, datetime]] = []
        self._nodes = nodes
        self._log = directory / "sushy.log"

    def orders(self, node: str) -> list[str]:
        """The addresses from which the controller was ordered to switch a machine."""
        found = _RESET.findall(self._log.read_text())
        return [address for address, system in found if system == node]

    def changed(self, system: Mapping[str, Any]) -> None:
        """What the controller has switched: first the machine is dead, then somebody can read that it is off."""
        if system.get("pending_power"):
            return
        node, off = self._nodes[system["name"]], system["power_state"] == "Off"
        if off and node.on:
            node.end()
            self.cuts.append((node.node, datetime.now(UTC)))
        elif not off and not node.on:
            node.switch_on()

    @contextmanager
    def controller(self, directory: Path) -> Iterator[None]:
        """The program that fence agents talk to."""
        with _hook(self) as hook, self._log.open("wb") as log:
            _configure(directory, self._nodes, hook)
            emulator = str(Path(sys.executable).with_name("sushy-emulator"))
            command = [emulator, "--config", str(directory / "sushy.conf"), "--fake", "-i", CONTROLLER, "-p", str(PORT)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                until(lambda: accepts(PORT), "the management controller serves")
                yield
            finally:
                process.terminate()
                process.wait(10)


def options(node: str) -> dict[str, Any]:
    """What a fence agent has to know to switch a machine, but for the password."""
    uri = f"{_SYSTEMS}/{node}"
    return {"ip": CONTROLLER, "ipport": PORT, "username": USER, "systems_uri": uri, "ssl_insecure": 1}


def fence(node: str, action: str) -> None:
    """Somebody types the fence agent's command."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options(node).items() if name != "ssl_insecure"]
    command = ["fence_redfish", *words, "--ssl-insecure", f"--password={SECRET}", f"--action={action}"]
    ended = subprocess.run([*command, "--power-timeout=40"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended


def _configure(directory: Path, nodes: Mapping[str, Node], hook: int) -> None:
    secret = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
    (directory / "htpasswd").write_text(f"{USER}:{secret}\n")
    systems = [
        {"uuid": name, "name": name, "power_state": "On", "nics": [], "external_notifier": True} for name in nodes
    ]
    known = {
        "SUSHY_EMULATOR_FAKE_SYSTEMS": systems,
        "SUSHY_EMULATOR_SSL_CERT": str(directory / "tls.crt"),
        "SUSHY_EMULATOR_SSL_KEY": str(directory / "tls.key"),
        "SUSHY_EMULATOR_AUTH_FILE": str(directory / "htpasswd"),
        "SUSHY_EMULATOR_STATE_DIR": str(directory),
        "SUSHY_EMULATOR_FEATURE_SET": "full",
        "EXTERNAL_NOTIFICATION_URL": f"http://127.0.0.1:{hook}/",
    }
    (directory / "sushy.conf").write_text("".join(f"{name} = {value!r}\n" for name, value in known.items()))


@contextmanager
def _hook(supply: Supply) -> Iterator[int]:
    """Where the emulator tells what it has switched; its port."""

    class Told(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            supply.changed(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The emulator has a log."""

    # One thread for all of them: a machine goes down with the thread that switched it on.
    with HTTPServer(("127.0.0.1", 0), Told) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
