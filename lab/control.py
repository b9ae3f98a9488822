"""Start, drive and stop a simulated cloud: what the demo and the tests hold in their hands.

with SimulatedCloud() as cloud:
    ids = cloud.seed(canned="demo")
    cloud.power_cut()
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from stackmend.errors import StackmendError

_LOG_LINES_SHOWN = 20


class LabError(StackmendError):
    """The simulated cloud did not start, has ended, or refused a control call."""


@dataclass(frozen=True)
class Fault:
    """A fault rule in force; ``wait`` and ``release`` are for the kinds that pause a call."""

    cloud: "SimulatedCloud"
    id: int

    def wait(self, timeout: float = 10.0) -> None:
        """Return once a call has reached the rule; LabError after ``timeout`` seconds."""
        self.cloud.control("wait-fault", id=self.id, timeout=timeout)

    def release(self, *, lost: bool = False) -> None:
        """Let the call that is held go on; ``lost`` ends it instead, as if it had never arrived."""
        self.cloud.control("release", id=self.id, lost=lost)


class SimulatedCloud:
    """One simulated cloud in a process of its own, serving on loopback only.

    ``directory`` holds its files (None: a temporary one, removed at ``stop``). ``schema`` is ``modern``
    or ``legacy``. ``description`` is cloud.json once it runs: urls, databases, file paths, ports.
    """

    def __init__(self, directory: Path | None = None, *, schema: str = "modern", port: int = 0) -> None:
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="simulated-cloud-"))
        self._schema = schema
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.description: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout: float = 20.0) -> Self:
        """Start the process and return when it serves; LabError with its last words when it doesn't."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ready = self.directory / "cloud.json"
        ready.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + timeout
        while not ready.exists():
            if self._process.poll() is not None:
                raise LabError(f"the simulated cloud ended before it served: {self._last_words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise LabError(f"the simulated cloud served nothing within {timeout} s: {self._last_words()}")
            time.sleep(0.01)
        self.description = json.loads(ready.read_text())
        return self

    def _command(self) -> list[str]:
        module = [sys.executable, "-m", "stackmend.lab.simulated", "--directory", str(self.directory)]
        return [*module, "--port", str(self._port), "--schema", self._schema]

    @property
    def _log(self) -> Path:
        return self.directory / "cloud.log"

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return " | ".join(lines[-_LOG_LINES_SHOWN:]) or "it logged nothing"

    def stop(self) -> None:
        """End the process (SIGTERM, and SIGKILL after 5 s) and remove a temporary directory."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """End the process at once with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The process that is the cloud; LabError when it does not run."""
        if self._process is None:
            raise LabError("the simulated cloud is not running; call start() first")
        return self._process.pid

    def environment(self, cloud: str = "sim") -> dict[str, str]:
        """This process's environment with the client's variables pointing at ``cloud`` (``sim-member``)."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return {**inherited, "OS_CLIENT_CONFIG_FILE": self.description["clouds_yaml"], "OS_CLOUD": cloud}

    def control(self, verb: str, **given: Any) -> Any:
        """Send one control call and return its answer; LabError says why it was refused."""
        if not self.description:
            raise LabError("the simulated cloud is not running; call start() first")
        url = urlsplit(self.description["control_url"])
        link = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
        try:
            link.request("POST", f"{url.path}/{verb}", json.dumps(given), {"Content-Type": "application/json"})
            answer = link.getresponse()
            body = answer.read()
        except OSError as error:
            raise LabError(f"the simulated cloud did not answer {verb}: {error}: {self._last_words()}") from error
        finally:
            link.close()
        if answer.status != 200:
            raise LabError(f"the simulated cloud refused {verb}: {_reason(body)}")
        return json.loads(body)

    def seed(self, **spec: Any) -> dict[str, Any]:
        """Add hosts and servers: ``canned="demo"``, or ``hosts=, servers=, volumes_per_server=, prefix=``,
        or a list of servers. Returns {"hosts": [...], "servers": {name: id}, "volumes": ..., "ports": ...}.
        """
        seeded: dict[str, Any] = self.control("seed", **spec)
        return seeded

    def journal(self, *kinds: str, since: int = 0) -> list[dict[str, Any]]:
        """The effects that really happened, in order; only kinds that start with one of ``kinds``, if any."""
        effects: list[dict[str, Any]] = self.control("journal", kinds=kinds, since=since)
        return effects

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """Every API call that was answered or cut (status 0), in order."""
        calls: list[dict[str, Any]] = self.control("calls", since=since)
        return calls

    def clear_journal(self) -> None:
        """Forget the effects and calls so far; journal.jsonl keeps them."""
        self.control("clear-journal")

    def snapshot(self, name: str = "start") -> None:
        """Keep the whole state of the cloud under a name."""
        self.control("snapshot", name=name)

    def restore(self, name: str = "start") -> None:
        """Put the whole state back, take every fault out of force and clear the journal."""
        self.clear_faults()
        self.control("restore", name=name)

    def settings(self, **changes: float | str) -> dict[str, Any]:
        """Change settings by name (delays in seconds); all of them as they are then."""
        settings: dict[str, Any] = self.control("settings", **changes)
        return settings

    def fault(self, kind: str, **rule: Any) -> Fault:
        """Put a fault in force; ``rule`` has the fields of ``faults.Rule``: service, path, times, ..."""
        return Fault(self, self.control("fault", kind=kind, **rule)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force: id, kind, how many calls each met."""
        rules: list[dict[str, Any]] = self.control("faults")
        return rules

    def clear_faults(self) -> None:
        """Take every rule out of force; calls that one held go on."""
        self.control("clear-faults")

    def expire_tokens(self) -> None:
        """Make every token that was given out invalid."""
        self.control("expire-tokens")

    def ssh(self, target: str, **switches: Any) -> Mapping[str, Any]:
        """Switch the SSH server of a guest or host (by server id, host name or address).

        ``refuse=True|False``, ``drop=N`` (cut the next N commands half-way), ``new_host_key=True``.
        """
        switched: Mapping[str, Any] = self.control("ssh", target=target, **switches)
        return switched

    def damage(self, kind: str, target: str) -> dict[str, Any]:
        """Make one row stale, as a crash or a careless hand does; the kinds are listed in README.md."""
        damaged: dict[str, Any] = self.control("damage", kind=kind, target=target)
        return damaged

    def power_cut(self, hosts: Iterable[str] = ()) -> dict[str, Any]:
        """Cut the power of these hosts, or (none given) of everything: no guest runs, no API answers."""
        cut: dict[str, Any] = self.control("power-cut", hosts=list(hosts))
        return cut

    def power_on(self, *, hosts: Iterable[str] = (), without: Iterable[str] = ()) -> dict[str, Any]:
        """Give power again; the services or hosts in ``without`` stay away until a later call names them."""
        powered: dict[str, Any] = self.control("power-on", hosts=list(hosts), without=list(without))
        return powered

    def host(self, name: str, do: str, binary: str = "nova-compute") -> dict[str, Any]:
        """Do one thing to a host: kill or start a process, partition, join, power-off, power-on."""
        switched: dict[str, Any] = self.control("host", name=name, do=do, binary=binary)
        return switched

    def service(self, name: str, *, up: bool) -> dict[str, Any]:
        """Close (connections refused) or open the port of one API: identity, compute, volume, ..."""
        switched: dict[str, Any] = self.control("service", name=name, up=up)
        return switched

    def state(self) -> dict[str, Any]:
        """The truth behind the APIs: open services, hosts, processes, guests."""
        state: dict[str, Any] = self.control("state")
        return state


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]
