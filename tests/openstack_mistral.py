"""A real Mistral that has stackmend beside it, and a worker that does what its workflows order."""

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openstack.connection
import yaml
from openstack.config import OpenStackConfig
from waiting import until

from stackmend.engine import orders
from stackmend.engine.store import Store
from stackmend.lab.openstack.control import OpenStackLab

ROOT = Path(__file__).parents[1]
_SERVICE = {"service_type": "workflow", "interface": "public"}


class Mistral:
    """Its API, as the administrator's client talks to it; ``more`` are settings of the executor's and the worker's."""

    def __init__(self, lab: OpenStackLab, directory: Path, more: Mapping[str, Any]) -> None:
        found = OpenStackConfig(config_files=[lab.description["clouds_yaml"]], load_envvars=False).get_one("lab")
        self.cloud = openstack.connection.Connection(config=found)
        self.directory = directory
        self.store = f"sqlite:///{directory}/runs.sqlite"
        named = {name: value for name, value in lab.environment().items() if name.startswith("OS_")}
        own = {"STACKMEND_CONFIG": str(directory / "stackmend.yaml"), "XDG_STATE_HOME": str(directory / "state")}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "STACKMEND_"))}
        self.environment = {**inherited, **named, **own}
        settings = {"poll_interval": 0.5, "settle": 3, "patience": 2, "store": self.store}
        projects = {"mistral_projects": [self.cloud.session.get_project_id()]}
        (directory / "stackmend.yaml").write_text(yaml.safe_dump({**settings, **projects, **more}), encoding="utf-8")

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """One call; its answer as JSON."""
        answer = self.cloud.session.request(path, method, endpoint_filter=_SERVICE, **given)
        return answer.json() if answer.content else None

    def upload(self, kind: str, text: str, method: str = "POST") -> None:
        """Put a workbook or a workflow there."""
        self.ask(method, f"/{kind}", data=text.encode(), headers={"Content-Type": "text/plain"})

    def start(self, workflow: str, given: Mapping[str, Any]) -> str:
        """Start an execution; returns its id."""
        return str(self.ask("POST", "/executions", json={"workflow_name": workflow, "input": dict(given)})["id"])

    def let_run(self, execution: str) -> None:
        """What `openstack workflow execution update -s RUNNING` does."""
        self.ask("PUT", f"/executions/{execution}", json={"state": "RUNNING"})

    def run_again(self, task: Mapping[str, Any]) -> None:
        """What `openstack task execution rerun` does."""
        self.ask("PUT", f"/tasks/{task['id']}", json={"id": task["id"], "state": "RUNNING", "reset": True})

    def until(self, execution: str, state: str, seconds: float = 120) -> dict[str, Any]:
        """The execution, once it is in a state; fails at once in another one that it does not leave by itself."""

        def reached() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ask("GET", f"/executions/{execution}")
            assert found["state"] in ("RUNNING", state), (found["state"], found["state_info"])
            return found if found["state"] == state else None

        return until(reached, f"execution {execution} {state}", seconds)

    def task(self, execution: str, name: str) -> dict[str, Any]:
        """The newest task of a name, of the execution and all that it has called."""
        called = self.ask("GET", f"/executions?root_execution_id={execution}")["executions"]
        ids = [execution, *(item["id"] for item in called)]
        tasks = [task for item in ids for task in self.ask("GET", f"/executions/{item}/tasks")["tasks"]]
        return max((task for task in tasks if task["name"] == name), key=lambda task: str(task["created_at"]))

    def hears(self, host: str) -> bool:
        """Whether nova or neutron still hear of a host."""
        services, agents = self.cloud.compute.services(host=host), self.cloud.network.agents(host=host)
        return any(row.state == "up" for row in services) or any(row.is_alive for row in agents)

    def orders(self) -> list[tuple[str, str]]:
        """The key and the verb of all that was ordered, newest first."""
        with contextlib.closing(Store(self.store)) as store:
            return [(order.key, order.verb) for order in orders.orders(store)]

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command of an operator's, to its end."""
        command = [sys.executable, "-W", "ignore", "-m", "stackmend", *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=120)


def ordered(mistral: Mistral, key: str) -> list[str]:
    """What was ordered of the one run of a key, newest first."""
    with contextlib.closing(Store(mistral.store)) as store:
        (run,) = [row["id"] for row in store.runs() if row["key"] == key]
        return [order.verb for order in orders.orders(store) if order.run == run]


@contextmanager
def mistral_beside(lab: OpenStackLab, directory: Path, *others: str, **settings: Any) -> Iterator[Mistral]:
    """The lab's Mistral with stackmend plugged in, and a worker; at the end the lab is as it was.

    ``others``: more of the lab's extra services. ``settings``: more of the worker's.
    """
    plugged = _plugged(directory)
    variables = {"PYTHONPATH": str(plugged), "STACKMEND_CONFIG": str(directory / "stackmend.yaml")}
    try:
        lab.up(extras=["mistral", *others], variables=variables)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Mistral(lab, directory, settings)
        with found.cloud, _worker(found):
            yield found
    finally:
        lab.up(extras=[], variables={})


def _plugged(directory: Path) -> Path:
    """What `pip install --no-deps --target` makes of this checkout, without what that needs to build it."""
    away = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "stackmend", directory / "plugged" / "stackmend", ignore=away)
    info = directory / "plugged" / "stackmend-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stackmend\nVersion: 0\n", encoding="utf-8")
    points = [f"{point.name} = {point.value}" for point in importlib.metadata.entry_points(group="mistral.actions")]
    (info / "entry_points.txt").write_text("\n".join(["[mistral.actions]", *points, ""]), encoding="utf-8")
    return directory / "plugged"


@contextmanager
def _worker(mistral: Mistral) -> Iterator[None]:
    command = [sys.executable, "-W", "ignore", "-m", "stackmend", "worker"]
    with (mistral.directory / "worker.log").open("w") as log:
        worker = subprocess.Popen(command, env=mistral.environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            worker.terminate()
            worker.wait(timeout=60)
