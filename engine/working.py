"""One process at work on one run: which of its lanes need what, until all have ended or it is stopped."""

import contextlib
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stackmend.engine import procedures, status
from stackmend.engine.coordinator import Coordinator, Limits, backwards
from stackmend.engine.journal import Journal, Stopped
from stackmend.engine.lanes import EXECUTE, RETRY, REVERT, LaneRunner, Work, result_of
from stackmend.engine.ownership import LEASE_SECONDS, Lease
from stackmend.engine.parking import Parked, Parking
from stackmend.engine.persistence import LaneBackend
from stackmend.engine.plan import Lane, Stage
from stackmend.engine.status import LaneStatus
from stackmend.engine.store import Run, Store
from stackmend.engine.writer import Fence, Writer
from stackmend.errors import BadInput, PlanRefused, StoreError

Told = Callable[[LaneStatus], None]
# Has a lane of a run executed, retried or reverted by whoever takes it; returns its status once that is over.
Share = Callable[[Run, Lane, str, Fence], LaneStatus]

UNDER_WAY = frozenset([status.PENDING, status.RUNNING, status.INTERRUPTED, status.REVERTING])
_ENDED_WELL = frozenset([status.DONE, status.SKIPPED, status.REVERTED])


@dataclass(frozen=True)
class Session:
    """What a process brings to a run: the clients its steps ask for, its limits, and its way to be stopped.

    ``told`` hears of every lane that ended; ``stop``, once set, leaves each step where it stands, ``drain`` lets it
    end first; ``settle``: seconds after which a call whose answer was lost can no longer arrive; ``share``: who
    executes the lanes, where that is not this process.
    """

    doors: Mapping[str, Any]
    cloud: Mapping[str, str]
    limits: Limits = field(default_factory=Limits)
    stop: threading.Event = field(default_factory=threading.Event)
    told: Told = lambda _: None
    lease_seconds: float = LEASE_SECONDS
    settle: float = 10.0
    share: Share | None = None
    drain: threading.Event = field(default_factory=threading.Event)


def carry_out(
    run: Run,
    lane: Lane,
    what: str,
    backend: LaneBackend,
    check: Callable[[], None],
    session: Session,
    make_room: Callable[[Lane], None] = lambda _: None,
    parks: bool = False,
    woken: Parking | None = None,
) -> LaneStatus:
    """Execute, retry or revert one lane in this process; returns its status. Raises Stopped, StoreError.

    ``check`` raises LeaseLost once the lane is somebody else's; it is asked right before each effect. ``make_room`` is
    called when the lane has nothing more to do that burdens its host. With ``parks`` it raises Parked when the lane
    only waits; it is then to be executed again, ``woken``, when what it waits for has come.
    """
    past = functools.partial(result_of, run.id, backend=backend)
    with LaneRunner(Work(run.id, run.plan.procedure, run.plan.version), lane, backend, session.drain) as runner:
        burden = runner.last_burden

        def over(step: str) -> None:
            if step == burden:
                make_room(lane)

        journal = Journal(runner.storage, run.id, check, session.stop, session.settle, past, over, parks, woken)
        runner.carry_out(what, journal, session.doors)
        return status.lane_status(lane, runner.atoms())


def backend_of(store: Store, writer: Writer) -> LaneBackend:
    """TaskFlow's persistence for one lane, whose rows ``writer`` saves."""
    return LaneBackend({"connection": "stackmend"}, engine=store.engine, writer=writer)


def ended_well(lane: LaneStatus) -> bool:
    """Whether nothing is left to be done with a lane."""
    return lane.state in _ENDED_WELL


def check_not_abandoned(run: Run) -> None:
    """Raise BadInput for a run that somebody gave up."""
    if run.outcome == status.ABANDONED:
        raise BadInput(f"run {run.id} was abandoned: what it did stays, and nothing more of it is done; plan anew")


class Working:
    """One process at work on one run."""

    def __init__(self, store: Store, run: Run, session: Session, take_over: bool) -> None:
        if session.cloud.get("auth_url") != run.plan.cloud.get("auth_url"):
            raise PlanRefused(
                f"run {run.id} was planned for the cloud at {run.plan.cloud.get('auth_url')}, and these credentials "
                f"are for {session.cloud.get('auth_url')}: use the credentials of its own cloud"
            )
        check_not_abandoned(run)
        procedures.of_version(run.plan.procedure, run.plan.version)
        self._store, self._run, self._session, self._take_over = store, run, session, take_over

    def go(self, what: str, only: set[str] | None = None) -> str | None:
        """Do ``what`` (execute, retry, revert) with the lanes that need it; returns the outcome."""
        shares = self._session.share is not None
        with Owned(self._store, self._run, self._take_over, self._session.lease_seconds, shares) as owned:
            reverting = only or () if what == REVERT else ()
            begun = "resume" if what == EXECUTE and self._run.started_at else what
            self._store.begin(self._run, begun, owned.fence, reverting)
            try:
                self._run_lanes(what, owned, only)
            except Stopped as stopped:
                # Whoever lost the run writes nothing more, not even that it stopped.
                if stopped.__cause__ is not None:
                    raise stopped.__cause__ from None
            return self._end(owned)

    def _run_lanes(self, what: str, owned: "Owned", only: set[str] | None) -> None:
        chosen, stages, failed = self._chosen(what, only)

        def work(lane: Lane, woken: Parking | None) -> bool | Parking:
            # What a retry mends is mended by the time that its lane is parked.
            wanted = EXECUTE if woken or (what == RETRY and lane.key not in failed) else what
            try:
                found = self._carried_out(lane, wanted, owned, coordinator, woken)
            except Parked as parked:
                return parked.parking
            self._session.told(found)
            return ended_well(found)

        session = self._session
        coordinator = Coordinator(stages, session.limits, session.stop, session.drain)
        coordinator.run(chosen, work)

    def _carried_out(
        self, lane: Lane, what: str, owned: "Owned", coordinator: Coordinator, woken: Parking | None
    ) -> LaneStatus:
        session = self._session
        if session.share is not None:
            return session.share(self._run, lane, what, owned.fence)
        backend, check, room = owned.backend(), owned.lease.check, coordinator.make_room
        return carry_out(self._run, lane, what, backend, check, session, room, parks=True, woken=woken)

    def _chosen(self, what: str, only: set[str] | None) -> tuple[list[Lane], list[Stage], set[str]]:
        """The lanes to work on, the stages that are open to them, and which lanes had failed."""
        lanes = self._store.lanes(self._run)
        under_way = {lane.key for lane in lanes if lane.state in UNDER_WAY}
        wanted = only or set()
        if what == EXECUTE:
            wanted = under_way
        elif what == RETRY:
            wanted = wanted | under_way
        elif only is None:
            wanted = {lane.key for lane in lanes if lane.state == status.REVERTING}
        chosen = [lane for lane in self._run.plan.lanes if lane.key in wanted]
        stages = self._open_stages(wanted, lanes)
        if what == REVERT:
            chosen, stages = backwards(chosen), self._run.plan.stages[::-1]
        return chosen, stages, {lane.key for lane in lanes if lane.state == status.FAILED}

    def _open_stages(self, wanted: set[str], lanes: Sequence[LaneStatus]) -> list[Stage]:
        """The stages up to the first that is held and not approved, or lies behind a gate that does not hold."""
        found: list[Stage] = []
        shut = status.shut_at(self._run.plan, [lane for lane in lanes if lane.key not in wanted])
        for stage in self._run.plan.stages:
            if stage.hold and stage.name not in self._run.approvals:
                break
            found.append(stage)
            # A gate that failed in an earlier session, and is not worked on in this one, stays shut.
            if shut is not None and shut.name == stage.name:
                break
        return found

    def _end(self, owned: "Owned") -> str | None:
        owned.writer.close()
        lanes = self._store.lanes(replace(self._run, owner=None))
        outcome = status.outcome(lanes, self._run.gates)
        # Of a run that was taken back, the lanes that were never begun are no more to be done.
        over = outcome in (status.DONE, status.REVERTED)
        ended = {lane.key for lane in lanes if over or lane.state in _ENDED_WELL}
        unfinished = [target for lane in self._run.plan.lanes if lane.key not in ended for target in lane.locks]
        self._store.end(self._run, outcome, unfinished, owned.fence)
        return outcome


class Owned:
    """The lease on a run and the writer that is fenced by it, for as long as the block lasts."""

    def __init__(
        self,
        store: Store,
        run: Run,
        take_over: bool = False,
        seconds: float = LEASE_SECONDS,
        shares: bool = False,
    ) -> None:
        self._store, self._run, self._take_over, self._seconds, self._shares = store, run, take_over, seconds, shares

    def __enter__(self) -> "Owned":
        self.lease = Lease.take(self._store.engine, self._run.id, self._take_over, self._seconds, self._shares)
        self.fence = Fence.of_run(self._run.id, self.lease.epoch)
        self.writer = Writer(self._store.engine, self.fence)
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(StoreError):
            self.lease.release()

    def backend(self) -> LaneBackend:
        """TaskFlow's persistence for one lane."""
        return backend_of(self._store, self.writer)
