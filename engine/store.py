"""The run store: which runs there are, what was approved, what happened to them."""

import itertools
import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from stackmend.engine import clock, locks, status, tables
from stackmend.engine import taskflow_states as states
from stackmend.engine.database import open_database, reading, writing
from stackmend.engine.garbage import no_walks
from stackmend.engine.ownership import Owner, living, whoami
from stackmend.engine.plan import Lane, Plan, assembled, lane_uuid
from stackmend.errors import BadInput, NotApproved, UnknownRun

if TYPE_CHECKING:
    from stackmend.engine.writer import Fence

_NAMESPACE = uuid.UUID("0c5e52b1-3f0a-5b52-9f51-6f0b6a1f4c55")
_MARK_REVERTING = (
    sa.update(tables.ATOMS)
    .where(tables.ATOMS.c.parent_uuid == sa.bindparam("flow"), tables.ATOMS.c.state != states.PENDING)
    .values(intention=states.REVERT)
)
# Lanes with their facts in memory at once; a server takes only so much in one message, too.
_LANES_AT_ONCE = 100
# What an approval is for: the plan, or else the stage of that name.
PLAN = ""


@dataclass(frozen=True)
class Run:
    """One run as its row tells it, with the outline of its plan (Lane.outline) and no verdicts.

    ``Store.plan`` has all of the plan.
    """

    id: str
    key: str
    plan: Plan
    created_at: str
    created_by: str
    started_at: str | None
    ended_at: str | None
    outcome: str | None
    owner: Owner | None
    approvals: frozenset[str]

    @property
    def approved(self) -> bool:
        """Whether its plan, as it is, was approved."""
        return PLAN in self.approvals

    @property
    def gates(self) -> frozenset[str]:
        """The stages that must hold for the rest to begin."""
        return frozenset(stage.name for stage in self.plan.stages if stage.gate)


def run_id_of(plan: Plan, key: str) -> str:
    """The id of the run for a caller's key: the same incident on the same cloud is the same run."""
    return str(uuid.uuid5(_NAMESPACE, "/".join([plan.procedure, plan.cloud.get("auth_url", ""), key])))


class Store:
    """The run store behind one database URL."""

    def __init__(self, url: str) -> None:
        self.engine = open_database(url)
        self.shown = self.engine.url.render_as_string(hide_password=True)
        self._last: Plan | None = None

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    def create(self, plan: Plan, key: str) -> tuple[str, bool]:
        """Store a run of ``plan``; returns its id and whether it is new. Nothing is started."""
        run_id = run_id_of(plan, key)
        with writing(self.engine) as connection:
            known = connection.execute(sa.select(tables.RUNS.c.id).where(tables.RUNS.c.id == run_id)).first()
            if known is not None:
                return run_id, False
            connection.execute(sa.insert(tables.RUNS), [_run_row(run_id, key, plan)])
            rows = _lane_rows(run_id, plan)
            while some := list(itertools.islice(rows, _LANES_AT_ONCE)):
                connection.execute(sa.insert(tables.LANES), some)
            _note(connection, run_id, "planned", plan.digest)
        return run_id, True

    def find(self, name: str) -> str:
        """The id of the run named by its id, the beginning of it, its key, or ``last``. Raises UnknownRun."""
        runs = tables.RUNS.c
        query = sa.select(runs.id).order_by(runs.created_at.desc()).limit(2)
        if name != "last":
            starts = runs.id.startswith(name, autoescape=True) if len(name) >= 4 else sa.false()
            query = query.where((runs.key == name) | starts)
        with reading(self.engine) as connection:
            found = list(connection.execute(query).scalars())
        if not found:
            raise UnknownRun(f"there is no run {name} in {self.shown}: `stackmend list` shows them")
        if len(found) > 1 and name != "last":
            raise BadInput(f"more than one run is named {name}: write more of its id, `stackmend list` shows them")
        return str(found[0])

    def run(self, run_id: str) -> Run:
        """A run with its plan's outline. Raises UnknownRun."""
        columns = [column for column in tables.RUNS.c if column.name != "plan"]
        with reading(self.engine) as connection:
            row = connection.execute(sa.select(*columns).where(tables.RUNS.c.id == run_id)).first()
            approvals = connection.execute(_approvals(run_id)).all()
        if row is None:
            raise UnknownRun(f"there is no run {run_id} in {self.shown}: `stackmend list` shows them")
        return Run(
            row.id,
            row.key,
            self._outline(run_id, row.digest),
            row.created_at,
            row.created_by,
            row.started_at,
            row.ended_at,
            row.outcome,
            living(row.owner, row.lease_until),
            frozenset(approval.stage for approval in approvals if approval.digest == row.digest),
        )

    def plan(self, run_id: str) -> Plan:
        """A run's whole plan. Raises UnknownRun."""
        return self._read(self.run(run_id).id, lambda lane: lane)

    def verdicts(self, run_id: str) -> list[dict[str, Any]]:
        """The verdicts of a run's plan."""
        query = sa.select(tables.RUNS.c.plan).where(tables.RUNS.c.id == run_id)
        with reading(self.engine) as connection:
            return list(json.loads(connection.execute(query).scalar_one())["verdicts"])

    def _outline(self, run_id: str, digest: str) -> Plan:
        """Of the run's plan, what is kept; that of the last run is: a large one takes seconds to read."""
        if self._last is None or self._last.digest != digest:
            self._last = replace(self._read(run_id, Lane.outline), verdicts=[])
        return self._last

    @no_walks()
    def _read(self, run_id: str, kept: Callable[[Lane], Lane]) -> Plan:
        lanes = tables.LANES.c
        query = sa.select(lanes.planned).where(lanes.run_id == run_id).order_by(lanes.position)
        with reading(self.engine) as connection:
            head = connection.execute(sa.select(tables.RUNS.c.plan).where(tables.RUNS.c.id == run_id)).scalar_one()
            texts = connection.execution_options(yield_per=_LANES_AT_ONCE).execute(query).scalars()
            return assembled(json.loads(head), map(json.loads, texts), f"the stored plan of run {run_id}", kept)

    def runs(self) -> list[dict[str, Any]]:
        """Every run, newest first, without its plan."""
        runs, approvals = tables.RUNS.c, tables.APPROVALS.c
        wanted = [column for column in runs if column.name != "plan"]
        query = (
            sa.select(*wanted, approvals.approved_by)
            .outerjoin(tables.APPROVALS, sa.and_(approvals.run_id == runs.id, approvals.stage == PLAN))
            .order_by(runs.created_at.desc())
        )
        with reading(self.engine) as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def approve(self, run_id: str, reason: str = "", stage: str = PLAN, by: str = "") -> None:
        """Approve the run's plan, or a stage of it that is held, durably, under the operator's name or ``by``'s."""
        with writing(self.engine) as connection:
            digest = connection.execute(sa.select(tables.RUNS.c.digest).where(tables.RUNS.c.id == run_id)).scalar_one()
            known = connection.execute(_approvals(run_id)).all()
            if any((row.stage, row.digest) == (stage, digest) for row in known):
                return
            row = {"run_id": run_id, "stage": stage, "digest": digest, "reason": reason}
            row |= {"approved_by": by or whoami(), "approved_at": clock.now()}
            connection.execute(sa.insert(tables.APPROVALS), [row])
            _note(connection, run_id, f"approved stage {stage}" if stage else "approved", reason)

    def begin(self, run: Run, what: str, fence: "Fence", reverting: Collection[str] = ()) -> None:
        """Note that a process works on the run, and lock its targets. Raises NotApproved, Held, LeaseLost.

        ``reverting``: the lanes to be taken back, which is kept with them, all at once: whoever resumes takes back
        these, and goes on with no other.
        """
        if not run.approved:
            raise NotApproved(
                f"run {run.id} waits for approval: read `stackmend show {run.id}`, then `stackmend approve {run.id}`"
            )
        with writing(self.engine) as connection:
            fence.check(connection)
            locks.acquire(connection, run.id, list(run.plan.targets()))
            values: dict[str, Any] = {"outcome": None, "ended_at": None}
            if run.started_at is None:
                values["started_at"] = clock.now()
            connection.execute(sa.update(tables.RUNS).where(tables.RUNS.c.id == run.id).values(values))
            if reverting:
                connection.execute(_MARK_REVERTING, [{"flow": lane_uuid(run.id, key)} for key in reverting])
            _note(connection, run.id, what, None)

    def end(
        self, run: Run, outcome: str | None, unfinished: Sequence[str], fence: "Fence", why: str | None = None
    ) -> None:
        """Note how the run ended, and why; give back every target but the ``unfinished``. Raises LeaseLost."""
        with writing(self.engine) as connection:
            fence.check(connection)
            held = set(locks.held_by(connection, run.id))
            locks.release(connection, run.id, held - set(unfinished))
            if outcome is not None:
                # Together with the end: whoever dies right after it leaves a run that is over, and nobody's.
                values = {"outcome": outcome, "ended_at": clock.now(), "owner": None, "lease_until": None}
                connection.execute(sa.update(tables.RUNS).where(tables.RUNS.c.id == run.id).values(values))
            _note(connection, run.id, outcome or "interrupted", why)

    def note(self, run_id: str, what: str, detail: str | None = None) -> None:
        """Add to what happened to a run."""
        with writing(self.engine) as connection:
            _note(connection, run_id, what, detail)

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """What happened to a run, in order."""
        query = sa.select(tables.EVENTS).where(tables.EVENTS.c.run_id == run_id).order_by(tables.EVENTS.c.id)
        with reading(self.engine) as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    @no_walks()
    def lanes(self, run: Run, some: Iterable[Lane] | None = None) -> list[status.LaneStatus]:
        """The status of each lane of a run, or of ``some``."""
        wanted, found = iter(run.plan.lanes if some is None else some), []
        with reading(self.engine) as connection:
            while lanes := list(itertools.islice(wanted, _LANES_AT_ONCE)):
                atoms = _atoms(connection, run.id, lanes)
                found += [status.lane_status(lane, atoms[lane.key], run.owner is not None) for lane in lanes]
        return found


def _atoms(connection: sa.Connection, run_id: str, lanes: Iterable[Lane]) -> Mapping[str, list[Mapping[str, Any]]]:
    """The stored atoms of lanes, by lane key."""
    flows = {lane_uuid(run_id, lane.key): lane.key for lane in lanes}
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in connection.execute(sa.select(tables.ATOMS).where(tables.ATOMS.c.parent_uuid.in_(flows))):
        found[flows[row.parent_uuid]].append(dict(row._mapping))
    return found


def _run_row(run_id: str, key: str, plan: Plan) -> dict[str, Any]:
    return {
        "id": run_id,
        "key": key,
        "procedure": plan.procedure,
        "version": plan.version,
        "cloud": plan.cloud.get("auth_url", ""),
        "digest": plan.digest,
        "plan": plan.head(),
        "created_at": clock.now(),
        "created_by": whoami(),
        "epoch": 0,
    }


def _lane_rows(run_id: str, plan: Plan) -> Iterator[dict[str, Any]]:
    for position, lane in enumerate(plan.lanes):
        row = {"run_id": run_id, "key": lane.key, "position": position, "flow_uuid": lane_uuid(run_id, lane.key)}
        yield {**row, "planned": lane.text()}


def _approvals(run_id: str) -> sa.Select[Any]:
    return sa.select(tables.APPROVALS).where(tables.APPROVALS.c.run_id == run_id)


def _note(connection: sa.Connection, run_id: str, what: str, detail: str | None) -> None:
    row = {"run_id": run_id, "at": clock.now(), "who": whoami(), "what": what, "detail": detail}
    connection.execute(sa.insert(tables.EVENTS), [row])
