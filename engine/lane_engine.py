"""TaskFlow's serial engine, relieved of what a lane has no use for.

A lane runs in one thread from its beginning to its end, is saved by a Writer that reports every failure at
once, and shows its progress by the states of its steps. So its storage needs no locks, no retries around each
save, and no progress numbers: together they are half of what an engine costs.
"""

import contextlib
import functools
from typing import Any

from taskflow import states
from taskflow.engines.action_engine.engine import SerialActionEngine
from taskflow.flow import Flow
from taskflow.persistence import models
from taskflow.storage import Storage

from stackmend.engine.persistence import LaneBackend, LaneConnection


class LaneEngine(SerialActionEngine):
    """Runs one lane. A failed step stops it and reverts nothing."""

    def __init__(self, flow: Flow, detail: models.FlowDetail, backend: LaneBackend) -> None:
        super().__init__(flow, detail, backend, {"never_resolve": True, "gather_statistics": False})

    @functools.cached_property
    def storage(self) -> "LaneStorage":
        """The lane's storage."""
        return LaneStorage(self._flow_detail, self._backend, self._scopes)

    def _scopes(self, atom: str) -> Any:
        return self._runtime.fetch_scopes_for(atom) if self._compiled else None


class LaneStorage(Storage):
    """What TaskFlow knows of a lane, for the one thread that runs it."""

    # What TaskFlow asks dozens of times for each step: the same methods, without the decorator that locks.
    get_atom_state = Storage.get_atom_state.__wrapped__
    get_atom_intention = Storage.get_atom_intention.__wrapped__
    get_atoms_states = Storage.get_atoms_states.__wrapped__
    get_atom_uuid = Storage.get_atom_uuid.__wrapped__
    get_flow_state = Storage.get_flow_state.__wrapped__

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
