"""How what a workflow has ordered stands: whether it goes on, waits for somebody, or has ended, and how."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stackmend import settings
from stackmend.engine import order_status, orders, status
from stackmend.engine.orders import Order
from stackmend.engine.store import Store
from stackmend.errors import Unauthorized, UnknownRun

# What is approved before a run begins; else it is a stage, and named as the stage is.
PLAN = "plan"
_WELL = frozenset([orders.NOTHING, status.DONE])


@contextmanager
def run_store(project: str | None) -> Iterator[Store]:
    """The run store that this host's settings name, for a keystone project that they trust with it.

    Everybody whom Mistral serves can run its actions: recoveries are for those who were named. Raises Unauthorized,
    BadInput, StoreError.
    """
    found = settings.load(None)
    trusted = [found.mistral_projects] if isinstance(found.mistral_projects, str) else found.mistral_projects
    if project not in trusted:
        raise Unauthorized(
            f"the project {project} may not order recoveries: name its id in mistral_projects of stackmend's settings "
            "where Mistral's executors run"
        )
    store = Store(found.store_url)
    try:
        yield store
    finally:
        store.close()


def run_of(store: Store, name: str) -> str:
    """The id of the run that was made for an order (its key or id), or of the run of that name. Raises UnknownRun."""
    try:
        order = orders.find(store, name)
    except UnknownRun:
        return store.find(name)
    if order.run is None:
        raise UnknownRun(f"there is no run yet for the order {name} ({order.state}): look at it again later")
    return order.run


def standing(store: Store, name: str) -> dict[str, Any]:
    """How it stands with the order of that key or id.

    ``ended``: nothing more comes by itself; ``well``: and nothing is left to do; ``waits``: what somebody must
    approve before it goes on (``plan``, or a stage's name); ``why``: the sentence for an operator; and ``order``,
    ``run``, ``procedure``, ``state``, ``counts`` (None while somebody works on the run). Raises UnknownRun, StoreError.
    """
    order = orders.find(store, name)
    # It is asked every few seconds, and a large run takes seconds to read.
    told = order_status.look(store, order.id, lanes=False)
    found = {key: told.get(key) for key in ("order", "run", "procedure", "state", "counts", "why", "ended")}
    waits = _waits(store, told)
    well = bool(told["ended"]) and _well(order, told)
    return {**found, "why": None if well else told["why"] or _why(told), "well": well, "waits": waits}


def unseen(name: str, why: str) -> dict[str, Any]:
    """What is known while the run store can't be read."""
    return {"order": name, "run": None, "state": None, "why": why, "ended": False, "well": False, "waits": None}


def _waits(store: Store, told: dict[str, Any]) -> str | None:
    if told["state"] == status.WAITING_APPROVAL:
        return PLAN
    return stage_held(store, told["run"]) if told["state"] == status.WAITING_OPERATOR else None


def stage_held(store: Store, run_id: str) -> str | None:
    """The name of the stage that an operator must approve now; None when there is none."""
    run = store.run(run_id)
    held = status.held_at(run.plan, store.lanes(run), run.approvals)
    return held.name if held else None


def _well(order: Order, told: dict[str, Any]) -> bool:
    """Whether what was ordered has come about, steps that an operator skipped included."""
    if told["state"] == status.REVERTED:
        return order.verb == orders.REVERT
    skipped = told["state"] == status.DONE_WITH_EXCEPTIONS and status.FAILED not in told["counts"]
    return told["state"] in _WELL or skipped


def _why(told: dict[str, Any]) -> str | None:
    if told["ended"]:
        return f"run {told['run']} is {told['state']}: `stackmend report {told['run']}` tells what it did"
    return None
