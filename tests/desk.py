"""An operator's desk in front of a simulated cloud: commands to type, and the truth to compare them with."""

import contextlib
import io
import json
import logging
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from stackmend.lab.control import SimulatedCloud
from stackmend.shell import main

with warnings.catch_warnings():
    # TaskFlow's import of oslo.utils warns of eventlet, which nothing here uses.
    warnings.simplefilter("ignore", DeprecationWarning)
    import stackmend.engine.runs  # noqa: F401

T = TypeVar("T")
# What changes with every heartbeat and every look, and says nothing about the recovery.
_RESTLESS = frozenset(["updated_at", "last_seen_up", "report_count"])
_TABLES = {
    "nova": ("instances", "block_device_mapping"),
    "cinder": ("volumes", "volume_attachment"),
    "neutron": ("ports", "ml2_port_bindings"),
}
QUICK = {"ready_interval": 0.05, "ready_checks": 1, "boot_timeout": 15, "attach_timeout": 15}


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


class Desk:
    """One cloud, one run store, one settings file in ``directory``; ids by name."""

    def __init__(self, cloud: SimulatedCloud, directory: Path, names: Mapping[str, Mapping[str, str]]) -> None:
        self.cloud = cloud
        self.directory = directory
        self.servers, self.volumes, self.ports = names["servers"], names["volumes"], names["ports"]
        self._processes: list[subprocess.Popen[str]] = []
        self.settings()

    @property
    def sql(self) -> list[str]:
        """The options that give a command nova's and cinder's databases."""
        found = self.cloud.description["databases"]
        return [word for name in ("nova", "cinder") for word in ("--sql", f"{name}={found[name]}")]

    @property
    def store(self) -> Path:
        """The run store's file."""
        return self.directory / "runs.sqlite"

    def path(self, name: str) -> str:
        """A file on this desk."""
        return str(self.directory / name)

    def settings(self, **changes: Any) -> None:
        """Write the settings file: quick polls, the cloud's SSH key, and ``changes``."""
        found = self.cloud.description
        ssh = {"port": found["ssh_port"], "key_files": [found["ssh_key"]], "known_hosts": [found["ssh_known_hosts"]]}
        usual = {
            "store": f"sqlite:///{self.store}",
            "poll_interval": 0.05,
            "ssh": {"user": "debian", "agent": False, **ssh},
        }
        (self.directory / "stackmend.yaml").write_text(yaml.safe_dump({**usual, **changes}), encoding="utf-8")

    def environment(self) -> dict[str, str]:
        """The variables that make a command use this cloud, this store and nothing of the user's; they are set."""
        return {
            "OS_CLIENT_CONFIG_FILE": self.cloud.description["clouds_yaml"],
            "OS_CLOUD": "sim",
            "STACKMEND_CONFIG": self.path("stackmend.yaml"),
            "XDG_STATE_HOME": self.path("state"),
        }

    def stackmend(self, *words: str) -> Ended:
        """Type a command, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _own_logging():
            try:
                code = main(list(words))
            except SystemExit as left:
                code = int(left.code or 0)
        return Ended(code, out.getvalue(), err.getvalue())

    def run(self, *words: str, **parameters: Any) -> Ended:
        """Recover from the power loss, approved at once, with quick checks."""
        return self.stackmend("run", "power-loss", "--yes", "-f", "json", *quick(**parameters), *words)

    def plan(self, *words: str) -> dict[str, Any]:
        """The plan that such a run would execute."""
        ended = self.stackmend("plan", "power-loss", "-f", "json", *quick(), *words)
        assert ended.code == 0, ended.err
        found: dict[str, Any] = ended.data
        return found

    def status(self, run: str = "last") -> dict[str, Any]:
        """How a run stands."""
        found: dict[str, Any] = self.stackmend("status", run, "-f", "json").data
        return found

    def process(self, *words: str) -> "subprocess.Popen[str]":
        """Type a command, in a process of its own; stdin is no terminal."""
        command = [sys.executable, "-m", "stackmend", *words]
        return self._started(command)

    def typed(self, *words: str) -> Ended:
        """Type a command, in a process of its own, and wait for its end."""
        return self.ended(self.process(*words))

    def osc(self, *words: str) -> Ended:
        """Type a command of the OpenStackClient."""
        return self.ended(self._started([str(Path(sys.executable).with_name("openstack")), *words]))

    def ended(self, process: "subprocess.Popen[str]") -> Ended:
        """What a process left, once it has ended."""
        out, err = process.communicate(timeout=120)
        return Ended(process.returncode, out, err)

    def leave(self) -> None:
        """End every process that is still there."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def _started(self, command: list[str]) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
        self._processes.append(process)
        return process

    def calls(self) -> list[tuple[str, str, str]]:
        """Every call since the start that could change something: service, method, path."""
        return [
            (call["service"], call["method"], call["path"])
            for call in self.cloud.calls()
            if call["method"] != "GET" and call["service"] != "identity"
        ]

    def rebooted(self) -> list[str]:
        """The names of the servers that nova was asked to reboot, in order, each as often as it was."""
        names = {value: name for name, value in self.servers.items()}
        return [names[effect["target"]] for effect in self.cloud.journal("server.reboot")]

    def touched(self) -> list[dict[str, Any]]:
        """Everything that was changed by somebody since the start: effects of calls, statements, commands."""
        return [effect for effect in self.cloud.journal() if not effect["kind"].startswith(("host.", "power."))]

    def rows(self) -> dict[str, Any]:
        """Every row that a recovery may change, without what moves by itself."""
        return {
            f"{database}.{table}": self.table(database, table) for database in _TABLES for table in _TABLES[database]
        }

    def table(self, database: str, table: str) -> list[dict[str, Any]]:
        """All rows of a table, by id."""
        with closing(self._link(database)) as link:
            if not link.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                return []
            found = [dict(row) for row in link.execute(f"SELECT * FROM {table}")]
        kept = [{name: value for name, value in row.items() if name not in _RESTLESS} for row in found]
        return sorted(kept, key=lambda row: str(row.get("id") or row.get("port_id")))

    def execute(self, database: str, statement: str, *values: Any) -> None:
        """A statement of somebody else's."""
        with closing(self._link(database)) as link, link:
            link.execute(statement, values)

    def _link(self, database: str) -> sqlite3.Connection:
        path = self.cloud.description["databases"][database].removeprefix("sqlite:///")
        link = sqlite3.connect(path, timeout=10)
        link.row_factory = sqlite3.Row
        return link


def quick(**parameters: Any) -> list[str]:
    """The options for quick checks, and other parameters."""
    return [word for name, value in {**QUICK, **parameters}.items() for word in ("-p", f"{name}={value}")]


def verdicts(found: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The servers' verdicts in a plan or report, by name."""
    return {item["title"]: item for item in found["verdicts"] if item["target"].startswith("server:")}


MakeDesk = Callable[..., Desk]


def assert_refused(desk: Desk, ended: Ended, code: int, *fragments: str) -> None:
    """The exit code, one sentence on stderr with these words, nothing on stdout, nothing in the cloud."""
    sentences = [line for line in ended.err.splitlines() if line.strip()]
    assert (ended.code, ended.out, len(sentences)) == (code, "", 1), ended
    assert sentences[0].startswith("stackmend: ")
    assert "Traceback" not in ended.err
    assert [fragment for fragment in fragments if fragment not in ended.err] == [], ended.err
    assert (desk.touched(), desk.calls()) == ([], [])


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """A command sets logging up for a process of its own: begin without any, and put back what was there."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
