"""The same effects as a plain TaskFlow graph: ``python -m bench.graph PROCEDURE FILE STORE``.

A chain of tasks for each server in FILE, all of them in one flow, its threads, TaskFlow's own SQLite backend at STORE.
Each waits for its own server, as it would without anything that is shared. It plans nothing, proves nothing of volumes
and ports, and after a crash it would reboot again what was rebooting.
"""

import sys
import time
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import openstack
    from taskflow import engines, task
    from taskflow.patterns import linear_flow, unordered_flow
    from taskflow.persistence import backends

from bench.town import POWER_LOSS

# As many as a thousand servers' hosts boot at once.
_THREADS = 200
_POLL = 2.0
_LONGEST = 3600.0


class Order(task.Task):
    """Tell nova to do something with a server."""

    def __init__(self, server: str, action: dict[str, Any]) -> None:
        super().__init__(f"{next(iter(action))}:{server}", requires=["cloud"])
        self.server, self.action = server, action

    def execute(self, cloud: Any) -> str:
        """Once: it does not look whether that was done before."""
        # From 2.95 on what is evacuated would be left stopped.
        answer = cloud.compute.post(f"/servers/{self.server}/action", json=self.action, microversion="2.94")
        answer.raise_for_status()
        return str(answer.headers["x-openstack-request-id"])


class Settled(task.Task):
    """Wait for a server's state."""

    def __init__(self, server: str, vm_state: str, left: str) -> None:
        super().__init__(f"{vm_state}:{server}", requires=["cloud"])
        self.server, self.vm_state, self.left = server, vm_state, left

    def execute(self, cloud: Any) -> None:
        """Ask for this server, again and again."""
        deadline = time.monotonic() + _LONGEST
        while time.monotonic() < deadline:
            answer = cloud.compute.get(f"/servers/{self.server}", microversion="2.95")
            answer.raise_for_status()
            row = answer.json()["server"]
            found = (row["OS-EXT-STS:vm_state"], row["OS-EXT-STS:task_state"])
            if found == (self.vm_state, None) and row["OS-EXT-SRV-ATTR:host"] != self.left:
                return
            time.sleep(_POLL)
        raise TimeoutError(f"{self.server} is not {self.vm_state}")


def main(procedure: str, listed: str, store: str) -> None:
    """Run the graph to its end."""
    cloud = openstack.connect()
    servers = Path(listed).read_text(encoding="utf-8").split()
    flow = unordered_flow.Flow(procedure)
    for server in servers:
        flow.add(linear_flow.Flow(server).add(*_chain(procedure, server, cloud)))
    backend = backends.fetch({"connection": store})
    backend.get_connection().upgrade()
    engine = engines.load(flow, backend=backend, engine="parallel", executor="threaded", max_workers=_THREADS)
    engine.storage.inject({"cloud": cloud}, transient=True)
    engine.run()


def _chain(procedure: str, server: str, cloud: Any) -> list[task.Task]:
    if procedure == POWER_LOSS:
        return [Order(server, {"reboot": {"type": "HARD"}}), Settled(server, "active", "")]
    host = cloud.compute.get(f"/servers/{server}").json()["server"]["OS-EXT-SRV-ATTR:host"]
    return [Order(server, {"evacuate": {}}), Settled(server, "active", host)]


if __name__ == "__main__":
    main(*sys.argv[1:])
