"""What came before an alarm: the last incident of its target, and what else its rule was about lately."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from stackmend.alarms.alarm import OK
from stackmend.alarms.ledger import HELD, STARTED, STARTING, WAITING
from stackmend.alarms.rules import Rule
from stackmend.engine import clock, orders
from stackmend.engine.tables import ALARMS, ORDERS, RUNS

INCIDENTS = (WAITING, HELD, STARTING, STARTED)
_A = ALARMS.c
# The last incident of a target, with what is known of its order and its run.
_LAST = (
    sa.select(
        *(_A.id, _A.verdict, _A.source, _A.event, _A.decided_at, _A.why),
        ORDERS.c.state.label("order_state"),
        ORDERS.c.why.label("order_why"),
        ORDERS.c.run_id,
        RUNS.c.ended_at,
    )
    .outerjoin(ORDERS, ORDERS.c.id == _A.started_id)
    .outerjoin(RUNS, RUNS.c.id == ORDERS.c.run_id)
    .where(_A.target == sa.bindparam("target"), _A.verdict.in_(INCIDENTS), _A.id < sa.bindparam("number"))
    .order_by(_A.id.desc())
    .limit(1)
)
_ABOUT = (_A.source == sa.bindparam("source"), _A.event == sa.bindparam("event"))
_OVER = sa.select(_A.id).where(*_ABOUT, _A.state == OK, _A.id > sa.bindparam("number")).limit(1)
_OTHERS = sa.select(sa.func.count(_A.target.distinct())).where(
    *(_A.rule == sa.bindparam("rule"), _A.verdict.in_(INCIDENTS)),
    *(_A.received_at >= sa.bindparam("since"), _A.target != sa.bindparam("target")),
)


@dataclass(frozen=True)
class Stands:
    """How it stands with what was started: None while it goes on, else when it ended; whether anything ran."""

    ended_at: str | None
    ran: bool
    told: str


def last(connection: sa.Connection, target: str, number: int) -> Any:
    """The last incident of a target before the alarm of that number: its row, with its order's and its run's."""
    return connection.execute(_LAST, {"target": target, "number": number}).first()


def is_over(connection: sa.Connection, row: Any) -> bool:
    """Whether a later alarm resolves this one."""
    about = {"source": row.source, "event": row.event, "number": row.id}
    return connection.execute(_OVER, about).first() is not None


def others(connection: sa.Connection, row: Any, rule: Rule, target: str) -> int:
    """How many other targets the rule had within its brake's time, started or not."""
    since = clock.stored(clock.parsed(row.received_at) - timedelta(seconds=rule.brake["seconds"]))
    told = {"rule": rule.name, "since": since, "target": target}
    return int(connection.execute(_OTHERS, told).scalar_one())


def stands(last: Any) -> Stands:
    """How it stands with what an alarm started; of Mistral no more is known than when it was decided."""
    if last.order_state is None:
        return Stands(last.decided_at, True, last.why)
    if last.order_state in (orders.REFUSED, orders.NOTHING):
        return Stands(last.decided_at, last.order_state == orders.NOTHING, last.order_why or last.order_state)
    told = f"run {last.run_id}" if last.run_id else f"its order is {last.order_state}"
    return Stands(last.ended_at, True, told)
