"""How it stands with what was ordered: the order's state, and then its run's."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from stackmend.engine import report, status, tables
from stackmend.engine.database import reading
from stackmend.engine.orders import NOTHING, REFUSED, TAKEN, WAITING, find
from stackmend.engine.ownership import living
from stackmend.engine.store import Store


def look(store: Store, key: str, lanes: bool = True) -> dict[str, Any]:
    """How it stands with an order, as JSON: ``state``, ``ended`` (nothing more comes by itself), ``why`` and ``run``.

    ``state`` is the run's own once there is one (engine.report), else the order's. Without ``lanes`` neither plan nor
    lanes are read of a run that somebody works on: nothing is told of them (``counts`` is None).
    """
    order = find(store, key)
    told: dict[str, Any] = {"order": order.id, "key": order.key, "state": order.state, "why": order.why}
    if order.run is None or order.state in (WAITING, TAKEN):
        return {**told, "run": order.run, "ended": order.state in (REFUSED, NOTHING)}
    found = _worked_on(store, order.run) if not lanes and order.state != REFUSED else None
    found = found or report.status_of(store, order.run)
    run = {name: found[name] for name in ("run", "procedure", "counts", "waits_for", "next")}
    ended = order.state == REFUSED or found["ended_at"] is not None
    state = REFUSED if order.state == REFUSED else found["state"]
    return {**told, **run, "state": state, "why": order.why or _why(found), "ended": ended}


def _worked_on(store: Store, run_id: str) -> dict[str, Any] | None:
    """The status of a run that somebody works on, as far as its row tells it; None where nobody does."""
    run = tables.RUNS.c
    with reading(store.engine) as connection:
        query = sa.select(run.procedure, run.owner, run.lease_until).where(run.id == run_id)
        row = connection.execute(query).one()
    if living(row.owner, row.lease_until) is None:
        return None
    unknown = dict.fromkeys(("counts", "waits_for", "next", "ended_at"))
    return {**unknown, "run": run_id, "procedure": row.procedure, "state": status.RUNNING, "lanes": []}


def _why(found: Mapping[str, Any]) -> str | None:
    """The sentence that a run's state needs: what it waits for, or the first thing that failed."""
    if found["waits_for"]:
        return f"{found['waits_for']}; then approve it"
    failed = [lane for lane in found["lanes"] if lane["error"]]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"{failed[0]['title']}: {failed[0]['error']}{more}" if failed else None
