"""What becomes of an alarm: decided in one transaction in which nobody else decides."""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from stackmend.alarms import incidents, rules
from stackmend.alarms.alarm import FIRING, INSUFFICIENT, OK
from stackmend.alarms.ledger import (
    HELD,
    NO_RULE,
    NOTED,
    QUIET,
    REFUSED,
    RESOLVED,
    SAME,
    STARTED,
    STARTING,
    UNDECIDED,
    WAITING,
    Ledger,
    alarm_of,
)
from stackmend.alarms.rules import Rule
from stackmend.engine import clock
from stackmend.engine.tables import ALARMS
from stackmend.errors import BadInput

# More in one transaction hold those up who store.
MOST_AT_ONCE = 64
# What changes how a later alarm is judged; the rest is written with the transaction's end.
_MATTERS = frozenset((*incidents.INCIDENTS, RESOLVED))
_A = ALARMS.c
Values = dict[str, Any]

# Statements are made once: making them costs more than their execution.
_DUE = (
    sa.select(ALARMS)
    .where((_A.verdict == UNDECIDED) | ((_A.verdict == WAITING) & (_A.due <= sa.bindparam("now"))))
    .order_by(_A.id)
    .limit(MOST_AT_ONCE)
)
_DECIDED = ("verdict", "why", "rule", "target", "key", "start", "due")
_WRITE = (
    sa.update(ALARMS)
    .where(_A.id == sa.bindparam("number"))
    .values({"decided_at": sa.bindparam("at"), **{name: sa.bindparam(f"new_{name}") for name in _DECIDED}})
)


def decide(ledger: Ledger, known: list[Rule], now: float) -> list[tuple[int, str]]:
    """Decide the oldest alarms that are due at ``now`` (epoch seconds); returns their numbers and verdicts."""

    def decided(connection: sa.Connection) -> list[tuple[int, str]]:
        found, later = [], []
        for row in connection.execute(_DUE, {"now": now}).all():
            values = _judged(_Judge(connection, known, now), row)
            written = _written(row, values)
            if values["verdict"] in _MATTERS:
                connection.execute(_WRITE, written)
            else:
                later.append(written)
            found.append((row.id, values["verdict"]))
        if later:
            connection.execute(_WRITE, later)
        return found

    return ledger.turn(decided)


def _judged(judge: "_Judge", row: Any) -> Values:
    """One alarm that stackmend has a bug with holds up no other."""
    try:
        return judge.judge(row)
    except sa.exc.SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is: the alarms after it must be decided
        return _became(REFUSED, f"a bug of stackmend, {error!r}")


def _written(row: Any, values: Values) -> Values:
    kept = {f"new_{name}": values.get(name, getattr(row, name)) for name in _DECIDED}
    return {"number": row.id, "at": clock.now(), **kept}


@dataclass(frozen=True)
class _Judge:
    connection: sa.Connection
    rules: list[Rule]
    now: float

    def judge(self, row: Any) -> Values:
        """The columns that tell what becomes of the alarm in ``row``."""
        if row.verdict == WAITING:
            return self._begin(row, row.rule, row.target)
        if row.state == FIRING:
            return self._firing(row)
        return _became(NOTED, self._resolve(row) if row.state == OK else f"from {INSUFFICIENT} data nothing follows")

    def _resolve(self, row: Any) -> str:
        """End what the alarm resolves and has not been started."""
        about = (_A.source == row.source, _A.event == row.event, _A.id < row.id)
        over = _became(RESOLVED, f"it was over before it was started: alarm {row.id}")
        open_ones = _A.verdict.in_((WAITING, HELD, STARTING))
        ended = self.connection.execute(sa.update(ALARMS).where(*about, open_ones).values(**over)).rowcount
        return f"it is over: {ended} alarms that waited start nothing" if ended else "it is over"

    def _firing(self, row: Any) -> Values:
        try:
            start = rules.first(self.rules, alarm_of(row))
            if start is None:
                return _became(NO_RULE, "no rule is for it")
            told: Values = {"rule": start.rule.name, "target": start.target}
            stop = self._not_again(row, start.rule, start.target)
            if stop is not None:
                return told | stop
            key = f"{start.target}/{row.received_at}"
            told |= {"key": key, "start": json.dumps(start.order(key)), "due": self.now + start.rule.wait}
        except BadInput as error:
            return _became(REFUSED, str(error))
        if start.rule.wait:
            return told | _became(
                WAITING, f"rule {start.rule.name} waits {start.rule.wait:g} s: it may be over by then"
            )
        return told | self._begin(row, start.rule.name, start.target)

    def _not_again(self, row: Any, rule: Rule, target: str) -> Values | None:
        """Why nothing is started for a target, where something was started or waits already."""
        last = incidents.last(self.connection, target, row.id)
        if last is None:
            return None
        if last.verdict != STARTED:
            return _became(SAME, f"it is the same as alarm {last.id}, which is {last.verdict}")
        stands = incidents.stands(last)
        if stands.ended_at is None:
            return _became(SAME, f"it is the same as alarm {last.id}: {stands.told}")
        if stands.ran and self._began_before(row, last, stands.ended_at):
            return _became(SAME, f"it is the same as alarm {last.id}, and began before that ended: {stands.told}")
        if clock.age(stands.ended_at) < rule.quiet:
            return _became(QUIET, f"less than {rule.quiet:g} s ago alarm {last.id} ended: {stands.told}")
        return None

    def _began_before(self, row: Any, last: Any, ended_at: str) -> bool:
        return row.began_at <= ended_at if row.began_at else not incidents.is_over(self.connection, last)

    def _begin(self, row: Any, rule_name: str, target: str) -> Values:
        """Start it now, unless it is over or the brake holds."""
        if incidents.is_over(self.connection, row):
            return _became(RESOLVED, "it was over before it was started")
        rule = next((rule for rule in self.rules if rule.name == rule_name), None)
        if rule is None:
            return _became(REFUSED, f"rule {rule_name} is gone: nothing is started by it")
        if rule.brake and (others := incidents.others(self.connection, row, rule, target)) >= rule.brake["most"]:
            within = f"{others} other targets within {rule.brake['seconds']:g} s"
            return _became(HELD, f"the brake of rule {rule.name} holds: {within}; `stackmend alarm release {row.id}`")
        return _became(STARTING, f"by rule {rule.name}")


def _became(verdict: str, why: str | None) -> Values:
    return {"verdict": verdict, "why": why}
