"""What was asked for by those who can't wait: a Mistral action, an alarm, `stackmend run --detach`.

An order is a row: it is placed in milliseconds and carried out by a worker, whichever takes it first. The same key on
the same store is the same order, however often it is placed. What becomes of it (refused, nothing to do, a run) is
kept with it, in the sentence that an operator would have read.
"""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from stackmend.engine import clock, parameters, procedures, tables
from stackmend.engine.database import reading, saved, writing
from stackmend.engine.ownership import whoami
from stackmend.engine.store import Store
from stackmend.errors import BadInput, StoreError, UnknownRun

_NAMESPACE = uuid.UUID("6f1c5a9e-57f1-5b3e-8d55-0d6a3c7f1b20")
# What can be ordered: a run of a procedure, or more of a run that exists.
RUN, RESUME, RETRY, REVERT = "run", "resume", "retry", "revert"
VERBS = (RUN, RESUME, RETRY, REVERT)
# What may be the matter with an order; of one that is carried out, its run tells more.
WAITING, TAKEN, REFUSED, NOTHING, CARRIED_OUT = "waiting", "taken", "refused", "nothing-to-do", "carried-out"
# Seconds for which a worker that took an order may keep it without a sign of life: making a plan takes less.
CLAIM_SECONDS = 60.0
LONGEST_KEY = 255


@dataclass(frozen=True)
class Order:
    """One order. ``approved``: its plan needs nobody's approval; ``why``: what an operator should know of its state."""

    id: str
    key: str
    verb: str
    procedure: str | None
    parameters: Mapping[str, Any]
    approved: bool
    asked_by: str
    asked_at: str
    state: str = WAITING
    run: str | None = None
    why: str | None = None


def order_id(key: str) -> str:
    """The id of the order of that key."""
    return str(uuid.uuid5(_NAMESPACE, key))


def place(
    store: Store, key: str, procedure: str, given: Mapping[str, Any], approved: bool = False, asked_by: str = ""
) -> tuple[Order, bool]:
    """Ask for a run of ``procedure``, under the incident's key; returns the order, and whether it is new.

    Nothing is asked of the cloud. Raises BadInput when there is no such procedure or parameter, StoreError.
    """
    found = procedures.named(procedure)
    parameters.parse(found.name, found.parameters, given)
    return _place(store, _order(key, RUN, found.name, given, approved, asked_by, None))


def ask(store: Store, key: str, verb: str, run: str, lanes: list[str] | None = None, asked_by: str = "") -> Order:
    """Ask for more of a run: resume, retry (of some lanes or of all) or revert it. The same key asks once.

    Raises BadInput, UnknownRun.
    """
    if verb not in VERBS[1:]:
        raise BadInput(f"a run can't be asked to {verb}: write one of {', '.join(VERBS[1:])}")
    run_id = store.find(run)
    return _place(store, _order(key, verb, None, {"lanes": lanes or []}, True, asked_by, run_id))[0]


def find(store: Store, key: str) -> Order:
    """The order of that key, or of that id. Raises UnknownRun."""
    orders = tables.ORDERS.c
    with reading(store.engine) as connection:
        row = connection.execute(sa.select(tables.ORDERS).where(orders.id.in_([key, order_id(key)]))).first()
    if row is None:
        raise UnknownRun(f"nothing was ordered under the key {key} in {store.shown}: `stackmend order list` shows all")
    return _from_row(row)


def orders(store: Store) -> list[Order]:
    """Every order, newest first."""
    query = sa.select(tables.ORDERS).order_by(tables.ORDERS.c.asked_at.desc())
    with reading(store.engine) as connection:
        return [_from_row(row) for row in connection.execute(query)]


def counts(store: Store) -> dict[str, int]:
    """How many orders are in each state."""
    state = tables.ORDERS.c.state
    with reading(store.engine) as connection:
        return {
            row.state: row.n for row in connection.execute(sa.select(state, sa.func.count().label("n")).group_by(state))
        }


def take(store: Store, worker: str) -> Order | None:
    """The oldest order that waits, or whose taker is gone, for ``worker`` for CLAIM_SECONDS; None: there is none."""
    orders, now = tables.ORDERS.c, time.time()
    free = (orders.state == WAITING) | ((orders.state == TAKEN) & (orders.claimed_until < now))
    query = sa.select(tables.ORDERS).where(free).order_by(orders.asked_at).limit(1)

    def taken(connection: sa.Connection) -> Order | None:
        row = connection.execute(query.with_for_update(skip_locked=True)).first()
        if row is None:
            return None
        _change(connection, row.id, state=TAKEN, claimed_by=worker, claimed_until=now + CLAIM_SECONDS)
        return replace(_from_row(row), state=TAKEN)

    return saved(store.engine, taken)


def wait(store: Store, order: Order, why: str) -> None:
    """Let an order that was taken wait, and say why; it is taken again when its claim has run out."""
    saved(store.engine, lambda connection: _change(connection, order.id, why=why))


def settle(store: Store, order: Order, state: str, run: str | None = None, why: str | None = None) -> None:
    """Keep what became of an order that was taken."""
    values = {"state": state, "run_id": run or order.run, "why": why, "claimed_by": None, "claimed_until": None}
    saved(store.engine, lambda connection: _change(connection, order.id, **values))


def reopen(store: Store, key: str) -> None:
    """Have an order that was refused taken up again, now that what was wrong is mended. Raises UnknownRun, BadInput."""
    order = find(store, key)
    if order.state != REFUSED:
        raise BadInput(f"order {key} is {order.state}: only one that was refused is taken up again")
    settle(store, order, WAITING)


def _change(connection: sa.Connection, order: str, **values: Any) -> None:
    connection.execute(sa.update(tables.ORDERS).where(tables.ORDERS.c.id == order).values(values))


def _order(
    key: str, verb: str, procedure: str | None, given: Mapping[str, Any], approved: bool, by: str, run: str | None
) -> Order:
    if not key or len(key) > LONGEST_KEY:
        raise BadInput(f"an order needs a key of 1 to {LONGEST_KEY} characters: what names the incident")
    return Order(order_id(key), key, verb, procedure, dict(given), approved, by or whoami(), clock.now(), run=run)


def _place(store: Store, order: Order) -> tuple[Order, bool]:
    row = {
        "id": order.id,
        "key": order.key,
        "verb": order.verb,
        "procedure": order.procedure,
        "parameters": json.dumps(order.parameters, ensure_ascii=False),
        "approved": order.approved,
        "asked_by": order.asked_by,
        "asked_at": order.asked_at,
        "state": WAITING,
        "run_id": order.run,
    }
    same = sa.select(tables.ORDERS).where(tables.ORDERS.c.id == order.id)
    try:
        with writing(store.engine) as connection:
            known = connection.execute(same).first()
            if known is None:
                connection.execute(sa.insert(tables.ORDERS), [row])
                return order, True
    except StoreError as error:
        # Somebody else placed it between our look and our insert.
        if not isinstance(error.__cause__, sa.exc.IntegrityError):
            raise
        with reading(store.engine) as connection:
            known = connection.execute(same).one()
    return _from_row(known), False


def _from_row(row: Any) -> Order:
    given = json.loads(row.parameters)
    told = (row.approved, row.asked_by, row.asked_at, row.state, row.run_id, row.why)
    return Order(row.id, row.key, row.verb, row.procedure, given, *told)
