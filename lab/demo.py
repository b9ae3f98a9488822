"""The demo: a simulated cloud loses its power, is recovered, the recovery is killed half-way, and finished.

Everything an operator would type is typed: each step is the command itself, in a process of its own.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from stackmend.errors import NeedsHands
from stackmend.lab.control import SimulatedCloud

KEY = "demo"
# Seconds of a boot: long enough to be killed in the middle, short enough for a demo.
BOOT_SECONDS = 1.5
KILL_AFTER = 3
# What a power loss and hasty hands leave behind, by the demo cloud's own names.
DAMAGE = (
    ("volume-available-detached", "volumes", "db-data"),
    ("volume-error", "volumes", "files-1-vol1"),
    ("volume-attachments-deleted", "volumes", "web-1-vol1"),
    ("volume-attachments-deleted", "volumes", "db-1-root"),
    ("server-stuck-powering-off", "servers", "app-2"),
)
_COMPARED = (
    "volume_id",
    "device",
    "tag",
    "delete_on_termination",
    "status",
    "attach_status",
    "at_nova",
    "at_cinder",
)


class Demo:
    """One demo in ``directory``; ``say`` prints for the person who watches."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._directory = directory.absolute()
        self._say = say
        self._environment: dict[str, str] = {}
        self._sql: list[str] = []

    def run(self) -> bool:
        """Run it all; returns whether the cloud ended as it was captured, each server rebooted once."""
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "runs.sqlite").unlink(missing_ok=True)
        with SimulatedCloud(self._directory / "cloud") as cloud:
            names = cloud.seed(canned="demo")
            cloud.settings(boot_seconds=BOOT_SECONDS)
            self._prepare(cloud)
            self._headline(
                f"a cloud of {len(names['servers'])} servers on {len(names['hosts'])} hosts; its truth is captured"
            )
            self._stackmend("capture", "power-loss", "-o", self._path("before.json"), *self._sql)
            self._headline("the power fails, and comes back: no guest runs, and rows say what is no longer true")
            self._fail(cloud, names)
            self._headline("the plan: nothing is changed yet")
            asked = ["power-loss", "--capture", self._path("before.json"), *self._sql]
            self._stackmend("plan", *asked, "-o", self._path("plan.json"))
            self._headline(f"the recovery begins, and is killed (SIGKILL) once {KILL_AFTER} servers are back")
            self._run_and_kill()
            self._headline("what the run store says")
            self._stackmend("status", KEY, expect=(130,))
            self._headline("a second process goes on")
            self._stackmend("resume", KEY, *self._sql)
            self._headline("the report")
            self._reports()
            self._stackmend("capture", "power-loss", "-o", self._path("after.json"), *self._sql)
            return self._compare(cloud, names)

    def _prepare(self, cloud: SimulatedCloud) -> None:
        found = cloud.description
        ssh = {
            "user": "debian",
            "port": found["ssh_port"],
            "key_files": [found["ssh_key"]],
            "known_hosts": [found["ssh_known_hosts"]],
        }
        settings = {
            "store": f"sqlite:///{self._path('runs.sqlite')}",
            "ssh": {**ssh, "agent": False},
            "per_host": 2,
            "poll_interval": 0.3,
        }
        (self._directory / "stackmend.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        self._environment = {
            **cloud.environment(),
            "STACKMEND_CONFIG": self._path("stackmend.yaml"),
            "XDG_STATE_HOME": self._path("state"),
        }
        self._sql = [
            word for name in ("nova", "cinder") for word in ("--sql", f"{name}={found['configuration'][name]}")
        ]

    def _fail(self, cloud: SimulatedCloud, names: Mapping[str, Any]) -> None:
        cloud.power_cut()
        cloud.power_on()
        for kind, what, name in DAMAGE:
            cloud.damage(kind, names[what][name])
            self._say(f"  {kind}: {name}")

    def _run_and_kill(self) -> None:
        command = self._command("run", "--plan", self._path("plan.json"), "--key", KEY, "--yes", *self._sql)
        back = 0
        with subprocess.Popen(command, env=self._environment, stderr=subprocess.PIPE, text=True) as running:
            for line in running.stderr or ():
                self._say(line.rstrip())
                back += line.startswith("[") and line.rstrip().endswith(": done")
                # The gate is a lane too.
                if back > KILL_AFTER:
                    running.send_signal(signal.SIGKILL)
                    self._say("  (killed)")
                    return
        raise NeedsHands("the demo's run ended before it could be killed: look at what it printed above")

    def _reports(self) -> None:
        files = [
            word
            for kind, name in (("--text", "report.txt"), ("--json", "report.json"), ("--html", "report.html"))
            for word in (kind, self._path(name))
        ]
        self._stackmend("report", KEY, *files)
        self._say(Path(self._path("report.txt")).read_text(encoding="utf-8"))

    def _compare(self, cloud: SimulatedCloud, names: Mapping[str, Any]) -> bool:
        before, after = (self._servers(name) for name in ("before.json", "after.json"))
        different = [server["name"] for key, server in before.items() if _essence(server) != _essence(after[key])]
        reboots = [effect["target"] for effect in cloud.journal("server.reboot")]
        twice = sorted({server for server in reboots if reboots.count(server) > 1})
        running = [key for key, server in before.items() if server["vm_state"] == "active"]
        alight = {guest["uuid"] for guest in cloud.state()["guests"].values() if guest["running"]}
        dark = [before[key]["name"] for key in running if key not in alight]
        self._headline("the proof")
        self._say(f"  servers that differ from the capture: {', '.join(different) or 'none'}")
        self._say(
            f"  servers rebooted: {len(set(reboots))} of {len(running)} that ran, twice: {', '.join(twice) or 'none'}"
        )
        self._say(f"  guests that do not run: {', '.join(dark) or 'none'}")
        self._say(f"  the report as a page: {self._path('report.html')}")
        return not (different or twice or dark) and set(reboots) == set(running)

    def _servers(self, name: str) -> dict[str, Any]:
        data = json.loads(Path(self._path(name)).read_text(encoding="utf-8"))
        return {server["id"]: server for server in data["servers"]}

    def _stackmend(self, *words: str, expect: tuple[int, ...] = (0,)) -> None:
        shown = " ".join(
            shlex.quote(os.path.relpath(word) if word.startswith(str(self._directory)) else word) for word in words
        )
        self._say(f"$ stackmend {shown}")
        ended = subprocess.run(self._command(*words), env=self._environment, check=False)
        if ended.returncode not in expect:
            raise NeedsHands(f"`stackmend {words[0]}` ended with exit code {ended.returncode}: the demo stops here")

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "stackmend", *words]

    def _path(self, name: str) -> str:
        return str(self._directory / name)

    def _headline(self, text: str) -> None:
        self._say(f"\n== {text}")


def _essence(server: Mapping[str, Any]) -> Any:
    """What must be as it was: states, disks, ports; not the ids that a new attachment gets."""
    disks = [{name: disk[name] for name in _COMPARED} for disk in server["disks"]]
    return server["vm_state"], server["power_state"], server["task_state"], disks, server["ports"]
