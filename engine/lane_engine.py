"""TaskFlow's serial engine, relieved of what a lane has no use for.

A lane is a chain; it runs in one thread from its beginning to its end, is saved by a Writer that reports every
failure at once, and shows its progress by the states of its steps. So its graph is made at once, not merged from one
graph for each step, and its storage needs no locks, no retries around each save, and no progress numbers: together
they are more than half of what an engine costs.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable
from typing import Any

from taskflow import states
from taskflow.engines.action_engine import compiler
from taskflow.engines.action_engine.engine import SerialActionEngine
from taskflow.engines.action_engine.executor import SerialRetryExecutor, SerialTaskExecutor
from taskflow.engines.action_engine.runtime import Runtime
from taskflow.flow import LINK_INVARIANT
from taskflow.patterns.linear_flow import Flow
from taskflow.persistence import models
from taskflow.storage import Storage
from taskflow.types import graph, tree

from stackmend.engine.persistence import LaneBackend, LaneConnection


class LaneEngine(SerialActionEngine):
    """Runs one lane. A failed step stops it and reverts nothing."""

    _compiled: bool

    def __init__(self, flow: Flow, detail: models.FlowDetail, backend: LaneBackend) -> None:
        super().__init__(flow, detail, backend, {"never_resolve": True, "gather_statistics": False})
        self._task_executor, self._retry_executor = _STEPS, _RETRIES

    def compile(self) -> None:
        """Make what TaskFlow runs; once."""
        if self._compiled:
            return
        self._compilation = compiled(self._flow)
        executors = self._task_executor, self._retry_executor
        self._runtime = Runtime(self._compilation, self.storage, self.atom_notifier, *executors, options=self._options)
        self._runtime.compile()
        self._compiled = True
        # The steps are in the graph that was made of it.
        self._flow._graph.clear()

    @functools.cached_property
    def storage(self) -> "LaneStorage":
        """The lane's storage."""
        return LaneStorage(self._flow_detail, self._backend, self._scopes)

    def let_go(self) -> None:
        """Break the circles in what has run: else Python frees it late, by a walk through all that there is."""
        execution, hierarchy = self._compilation.execution_graph, self._compilation.hierarchy
        for one in (self._flow._graph, execution, hierarchy, *hierarchy.dfs_iter(), self.storage, self._runtime, self):
            vars(one).clear()

    def _scopes(self, atom: str) -> Any:
        return self._runtime.fetch_scopes_for(atom) if self._compiled else None


class _Steps(SerialTaskExecutor):
    """Executes a step in the thread that asks; the same for all lanes, and so never stopped."""

    def stop(self) -> None:
        """Nothing: other lanes use it."""


class _Retries(SerialRetryExecutor):
    """What TaskFlow wants for its retries, of which a lane has none; the same for all lanes."""

    def stop(self) -> None:
        """Nothing: other lanes have it too."""


_STEPS, _RETRIES = _Steps(), _Retries()


def compiled(chain: Flow) -> compiler.Compilation:
    """What TaskFlow's own compiler makes of a chain of tasks."""
    end = compiler.Terminator(chain)
    execution = graph.DiGraph(name=chain.name)
    hierarchy = tree.Node(chain, kind=compiler.FLOW, noop=True)
    execution.add_node(chain, kind=compiler.FLOW, noop=True)
    for step in chain:
        execution.add_node(step, kind=compiler.TASK)
        hierarchy.add(tree.Node(step, kind=compiler.TASK))
    execution.add_node(end, kind=compiler.FLOW_END, noop=True)
    for earlier, later in itertools.pairwise(list(execution)):
        execution.add_edge(earlier, later, attr_dict={LINK_INVARIANT: True})
    return compiler.Compilation(execution, hierarchy)


class LaneStorage(Storage):
    """What TaskFlow knows of a lane, for the one thread that runs it."""

    # What TaskFlow asks dozens of times for each step: the same methods, without the decorator that locks.
    get_atom_state = Storage.get_atom_state.__wrapped__
    get_atom_intention = Storage.get_atom_intention.__wrapped__
    get_atoms_states = Storage.get_atoms_states.__wrapped__
    get_atom_uuid = Storage.get_atom_uuid.__wrapped__
    get_flow_state = Storage.get_flow_state.__wrapped__
    set_atom_state = Storage.set_atom_state.__wrapped__
    save = Storage.save.__wrapped__
    fetch_mapped_args = Storage.fetch_mapped_args.__wrapped__
    fetch_unsatisfied_args = Storage.fetch_unsatisfied_args.__wrapped__
    _update_atom_metadata = Storage._update_atom_metadata.__wrapped__

    def __init__(self, detail: models.FlowDetail, backend: LaneBackend, scopes: Any) -> None:
        super().__init__(detail, backend, scopes)
        self._lock = _NoLock()

    def mark_for_revert(self, name: str) -> None:
        """Note of an atom that was begun that it is to be reverted: in one write, which a crash can't halve."""
        known, changed = self._atomdetail_by_name(name, clone=True)
        if known.state in (states.PENDING, states.REVERTED):
            return
        if known.state == states.REVERT_FAILURE:
            changed.reset(states.SUCCESS)
        # TaskFlow would execute (or revert) an interrupted step before it looks at intentions.
        if known.state in (states.RUNNING, states.REVERTING):
            changed.state = states.SUCCESS
        changed.intention = states.REVERT
        if (changed.state, changed.intention) != (known.state, known.intention):
            self._with_connection(self._save_atom_detail, known, changed)
            self._failures[name].pop(states.REVERT, None)

    def set_task_progress(self, task_name: str, progress: float, details: Any = None) -> None:
        """Nothing: a step's state says as much, and each number would cost a write."""

    def _with_connection(self, functor: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # Nothing is to be closed: it is one for the lane, and holds no connection of the database.
        return functor(self._backend.get_connection(), *args, **kwargs)

    def _save_atom_detail(
        self, connection: LaneConnection, known: models.AtomDetail, changed: models.AtomDetail
    ) -> models.AtomDetail:
        return known.update(connection.update_atom_details(changed))

    def _save_flow_detail(
        self, connection: LaneConnection, known: models.FlowDetail, changed: models.FlowDetail
    ) -> models.FlowDetail:
        return known.update(connection.update_flow_details(changed))


class _NoLock:
    _held: contextlib.AbstractContextManager[None] = contextlib.nullcontext()

    def read_lock(self) -> contextlib.AbstractContextManager[None]:
        return self._held

    def write_lock(self) -> contextlib.AbstractContextManager[None]:
        return self._held
