"""What TaskFlow costs as it comes: one flow, its serial engine, its own SQLite backend."""

import time
from pathlib import Path

from taskflow import engines, task
from taskflow.flow import Flow
from taskflow.patterns import linear_flow, unordered_flow
from taskflow.persistence import backends

from bench.measured import Measured

_CHAIN = 5


class Trivial(task.Task):
    """Returns at once."""

    def execute(self) -> int:
        """The smallest result."""
        return 1


def unordered(tasks: int, directory: Path) -> Measured:
    """All tasks side by side in one flow."""
    return _run(unordered_flow.Flow("stock").add(*_tasks("task", tasks)), tasks, directory)


def chains(tasks: int, directory: Path) -> Measured:
    """Chains of five tasks side by side in one flow."""
    names = [f"chain-{number}" for number in range(tasks // _CHAIN)]
    flows = [linear_flow.Flow(name).add(*_tasks(name, _CHAIN)) for name in names]
    return _run(unordered_flow.Flow("stock").add(*flows), tasks, directory)


def _tasks(prefix: str, count: int) -> list[Trivial]:
    return [Trivial(f"{prefix}-{number}") for number in range(count)]


def _run(flow: Flow, tasks: int, directory: Path) -> Measured:
    backend = backends.fetch({"connection": f"sqlite:///{directory}/stock.sqlite"})
    backend.get_connection().upgrade()
    cpu, began = time.process_time(), time.monotonic()
    engines.load(flow, backend=backend, engine="serial").run()
    return Measured.now(tasks, cpu, began)
