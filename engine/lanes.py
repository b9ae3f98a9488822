"""A lane: the chain of steps for one target, one small TaskFlow flow with a logbook of its own.

The lane's flow is rebuilt from what is stored with it (TaskFlow's factory details), never from the cloud.
A failing step stops its lane and reverts nothing; what to do then is an operator's choice: retry, skip, revert.
"""

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from taskflow import states
from taskflow.engines import helpers
from taskflow.patterns import linear_flow
from taskflow.persistence import models

from stackmend.engine.journal import Journal
from stackmend.engine.lane_engine import LaneEngine
from stackmend.engine.parking import Parked
from stackmend.engine.persistence import LaneBackend
from stackmend.engine.plan import Lane, lane_uuid
from stackmend.engine.status import META_KEY
from stackmend.engine.step import Step

FACTORY = "stackmend.engine.runs.build"
# What can be done with a lane.
EXECUTE, RETRY, REVERT = "execute", "retry", "revert"


def chain(key: str, steps: Sequence[Step]) -> linear_flow.Flow:
    """The TaskFlow flow of a lane: its steps, one after the other."""
    return linear_flow.Flow(key).add(*steps)


@dataclass(frozen=True)
class Work:
    """Which procedure a lane belongs to; with the lane's facts, all that its flow is built from."""

    run_id: str
    procedure: str
    version: str


class LaneRunner:
    """One lane, loaded into a TaskFlow engine for as long as the block lasts.

    Once ``drain`` is set it stops behind the step that it is at.
    """

    def __init__(self, work: Work, lane: Lane, backend: LaneBackend, drain: threading.Event | None = None) -> None:
        self.lane = lane
        self._drain = drain or threading.Event()
        detail = self._detail(work, lane, backend)
        flow = helpers.flow_from_detail(detail)
        # What the steps were built from is stored, and much: thousands of lanes may be under way.
        detail.meta = {}
        # The class itself, not helpers.load: looking an entry point up costs more than running the lane.
        self._engine = LaneEngine(flow, detail, backend)
        self._steps: list[Step] = [node for node, _ in flow.iter_nodes()]
        self._engine.compile()
        self._engine.prepare()

    def __enter__(self) -> "LaneRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.let_go()

    @property
    def storage(self) -> Any:
        """TaskFlow's storage of this lane."""
        return self._engine.storage

    def atoms(self) -> list[dict[str, Any]]:
        """The lane's atoms as they are stored."""
        return [atom.to_dict() for atom in self.storage._flowdetail]

    @property
    def last_burden(self) -> str | None:
        """The last step that makes the lane's host work hard; None where none does."""
        return next((step.name for step in reversed(self._steps) if step.burdens_host), None)

    def carry_out(self, what: str, journal: Journal, doors: Mapping[str, Any]) -> None:
        """Execute, retry or revert the lane. A failed step is recorded in its atom; nothing is raised for it.

        Raises Parked where the journal lets a step that waits give the lane's thread back.
        """
        if what == RETRY:
            self.retry()
        if what == REVERT:
            self._mark_for_revert()
        self._run(journal, doors)

    def _mark_for_revert(self) -> None:
        """All that was done or begun is to be undone, the last step first."""
        for step in self._steps:
            self.storage.mark_for_revert(step.name)

    def retry(self) -> None:
        """Make the failed steps ready to be executed again; their records stay."""
        for step in self._steps:
            if self.storage.get_atom_state(step.name) == states.FAILURE:
                self.storage.reset(step.name)
                self._grant(step.name)

    def _grant(self, step: str) -> None:
        """Whoever asks for a retry gives the step as many attempts as it had at first."""
        atom = self.storage._atomdetail_by_name(step)[0]
        stored = (atom.meta or {}).get(META_KEY)
        if stored:
            self.storage.update_atom_metadata(step, {META_KEY: {**stored, "granted": stored["attempt"]}})

    def skip(self, step: str, note: dict[str, Any]) -> None:
        """Count a step as done that is not: ``note`` says who decided so, when and why."""
        self.storage.reset(step)
        self.storage.save(step, {"skipped": note, "ended": note["at"]}, states.SUCCESS)

    def _run(self, journal: Journal, doors: Mapping[str, Any]) -> None:
        self.storage.inject({**doors, "journal": journal}, transient=True)
        try:
            for state in self._engine.run_iter():
                # A step that was parked is one that was begun: it ends first.
                if self._drain.is_set() and not journal.owes() and state != states.SUSPENDING:
                    self._engine.suspend()
        except Parked as parked:
            # Without the frames that it came through: they hold the engine.
            raise parked.with_traceback(None) from None
        except Exception:  # TaskFlow raises a failed step's own exception again; it is saved already
            if not (self.storage.get_execute_failures() or self.storage.get_revert_failures()):
                raise

    @staticmethod
    def _detail(work: Work, lane: Lane, backend: LaneBackend) -> models.FlowDetail:
        identity = lane_uuid(work.run_id, lane.key)
        stored = backend.get_connection().flow_details(identity)
        return _created(work, lane.key, identity, backend) if stored is None else stored


def _created(work: Work, key: str, identity: str, backend: LaneBackend) -> models.FlowDetail:
    """Store a lane's logbook, flow and atoms, all at once."""
    lane = backend.get_connection().planned(work.run_id, key)
    book = models.LogBook(lane.key, uuid=identity)
    book.meta = {"run": work.run_id}
    detail = models.FlowDetail(lane.key, uuid=identity)
    detail.meta = {}
    book.add(detail)
    # Steps are built from the lane's facts; what an operator reads of them is in the run's plan.
    arguments = {"procedure": work.procedure, "version": work.version, "lane": replace(lane, steps=[]).to_json()}
    helpers.save_factory_details(detail, FACTORY, [], arguments)
    for step in lane.steps:
        atom = models.TaskDetail(step.name, str(uuid.uuid5(uuid.UUID(identity), step.name)))
        atom.state = states.PENDING
        atom.version = "1.0"
        detail.add(atom)
    backend.get_connection().save_logbook(book)
    return detail


def result_of(run_id: str, lane: str, step: str, backend: LaneBackend) -> dict[str, Any]:
    """What a finished step of another lane returned; empty when it has not."""
    found = backend.get_connection().flow_details(lane_uuid(run_id, lane))
    done = [atom for atom in found or () if atom.name == step and atom.state == states.SUCCESS]
    return dict(done[0].results) if done and isinstance(done[0].results, dict) else {}
