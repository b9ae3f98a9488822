"""Three ways to bring a dead host's servers back: Masakari, a loop of OpenStack's client, and stackmend."""

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

from bench.access import Call
from bench.casualty import Casualty

# Neutron and cinder tell nova what happened, by the same library that others ask nova with.
_EVENTS = ("/v2.1/os-server-external-events",)
_CONTROLLER, _ENGINE = "ctl.example.com", "masakari-engine"
# Masakari would wait before it evacuates, and give a server up after 90 s, which many at once take on a busy machine.
_TUNED = {"wait_period_after_service_update": 0, "wait_period_after_evacuation": 900}


class Rescue:
    """One way; ``prepare`` comes before the host dies, ``run`` returns when this way says that it is done.

    ``agents``: how those programs that are this way call themselves to the APIs.
    """

    title = ""
    agents: tuple[str, ...] = ()

    def asks(self, call: Call) -> bool:
        """Whether it made this call itself, rather than one of the services."""
        return call.agent.startswith(self.agents) and call.path not in _EVENTS

    def prepare(self, casualty: Casualty) -> None:
        """What must be there beforehand."""

    def run(self, casualty: Casualty) -> None:
        """Bring them back. Raises RuntimeError when it says that it could not."""
        raise NotImplementedError


class Masakari(Rescue):
    """Told of the host's death as its host monitor would; tuned: no fixed wait, patience, so many threads."""

    agents = ("masakari-engine ", "python-novaclient")

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.title = f"Masakari, {threads} threads"

    def prepare(self, casualty: Casualty) -> None:
        """A segment of all hosts, and the engine with its settings."""
        conf = casualty.lab.directory / "etc" / "masakari" / "masakari.conf"
        wanted = {**_TUNED, "host_failure_recovery_threads": self.threads}
        lines = "".join(f"{name} = {value}\n" for name, value in wanted.items())
        text = re.sub(rf"^({'|'.join(wanted)}) *=.*\n", "", conf.read_text(), flags=re.M)
        conf.write_text(text.replace("[DEFAULT]\n", f"[DEFAULT]\n{lines}", 1))
        for do in ("kill", "start"):
            casualty.lab.host(_CONTROLLER, do, binary=_ENGINE)
        ha = casualty.cloud.instance_ha
        segment = ha.create_segment(name="bench", recovery_method="auto", service_type="COMPUTE")
        for host in casualty.lab.description["hosts"]:
            ha.create_host(segment.uuid, name=host, type="COMPUTE", control_attributes="none")

    def run(self, casualty: Casualty) -> None:
        """Send the notification, and wait for its end."""
        ha = casualty.cloud.instance_ha
        payload = {"event": "STOPPED", "host_status": "NORMAL", "cluster_status": "OFFLINE"}
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        made = ha.create_notification(type="COMPUTE_HOST", hostname=casualty.host, generated_time=now, payload=payload)
        state = ""

        def ended() -> bool:
            nonlocal state
            state = ha.get_notification(made.notification_uuid).status
            return state in ("finished", "failed", "error", "ignored")

        casualty.until(ended, "Masakari's notification has ended", poll=1.0)
        if state != "finished":
            raise RuntimeError(f"Masakari's notification ended {state}")


class Loop(Rescue):
    """`openstack server evacuate` for each server, one after another."""

    title = "`openstack server evacuate`, one by one"
    agents = ("openstacksdk/", "python-openstackclient", "python-novaclient")

    def run(self, casualty: Casualty) -> None:
        """List the host's servers and evacuate each; it does not look whether they came up."""
        asked = ["server", "list", "--all-projects", "--host", casualty.host, "-f", "value", "-c", "ID"]
        for server in self._client(casualty, *asked).split():
            # From 2.95 on what ran would be left stopped.
            self._client(casualty, "--os-compute-api-version", "2.94", "server", "evacuate", server)
        casualty.until(casualty.back, "the servers are back")

    @staticmethod
    def _client(casualty: Casualty, *words: str) -> str:
        environment = casualty.lab.environment()
        done = subprocess.run([casualty.lab.client, *words], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout


class Stackmend(Rescue):
    """`stackmend run evacuate-host`, with an operator's word for the fence."""

    title = "stackmend"
    agents = ("stackmend ",)

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self, casualty: Casualty) -> None:
        """Plan, fence, evacuate, prove, hold: the whole command."""
        store = f"sqlite:///{self._directory / f'{os.urandom(4).hex()}.sqlite'}"
        words = [
            "run",
            "evacuate-host",
            casualty.host,
            "--yes",
            "--fenced",
            "its plug is pulled",
            "--shared-disks",
            "true",
        ]
        command = [sys.executable, "-W", "ignore", "-m", "stackmend", *words, "--store", store]
        done = subprocess.run(command, env=casualty.lab.environment(), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
