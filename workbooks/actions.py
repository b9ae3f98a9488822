"""Mistral's actions: they order, approve and look, and return at once; a worker does what was ordered.

Their inputs hold no secret: the run store is the one that the settings of the executor's host name, and the cloud is
the worker's. Each gives a result as JSON, or an error of one sentence.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from mistral_lib.actions import Action, Result
from mistral_lib.actions.context import ActionContext

from stackmend.engine import orders, report
from stackmend.engine.parameters import Parameter
from stackmend.engine.store import PLAN, Store
from stackmend.errors import NeedsHands, StackmendError, StoreError
from stackmend.workbooks import standing

_APPROVED = Parameter("approved", "whether the plan needs nobody's approval", bool, False)
_MOST_EXCEPTIONS = 20


class _OnStore(Action):
    """An action on the run store; its attributes are its inputs, and travel to the executor as they are."""

    def run(self, context: ActionContext) -> Result:
        """Do it; what an operator should know of a failure is the result's error."""
        try:
            with standing.run_store(_of(context, "security", "project_id")) as store:
                return Result(data=self.do(store, context))
        except StackmendError as error:
            return self.failed(error)

    @abstractmethod
    def do(self, store: Store, context: ActionContext) -> dict[str, Any]:
        """What the action is for. Raises StackmendError."""

    def failed(self, error: StackmendError) -> Result:
        """What a failure gives: its sentence, as the task's error."""
        return Result(error=str(error))


class Start(_OnStore):
    """Order a run of ``procedure`` with ``parameters`` (those left out or null have their defaults).

    The same ``key`` orders once, however often it is asked. ``approved``: the plan needs nobody's approval. Gives
    ``order``, the order's id, and whether it is ``new``.
    """

    def __init__(
        self, procedure: str, key: str, parameters: Mapping[str, Any] | None = None, approved: bool = False
    ) -> None:
        self.procedure, self.key, self.parameters, self.approved = procedure, key, parameters, approved

    def do(self, store: Store, context: ActionContext) -> dict[str, Any]:
        """Place the order. Raises BadInput for a procedure or a parameter that there is not."""
        given = {name: value for name, value in (self.parameters or {}).items() if value is not None}
        approved = _APPROVED.parse(self.approved)
        order, new = orders.place(store, self.key, self.procedure, given, approved, _who(context))
        return {"order": order.id, "key": order.key, "new": new}


class Look(_OnStore):
    """How it stands with an ``order`` (its id or key): see workbooks.standing."""

    def __init__(self, order: str) -> None:
        self.order = order

    def do(self, store: Store, context: ActionContext) -> dict[str, Any]:
        """Look once. Raises UnknownRun."""
        return standing.standing(store, self.order)

    def failed(self, error: StackmendError) -> Result:
        """A run store that is away for a while is no end: whoever waits looks again."""
        if isinstance(error, StoreError):
            return Result(data=standing.unseen(self.order, str(error)))
        return super().failed(error)


class Approve(_OnStore):
    """Approve ``what`` the run of an ``order`` waits for: ``plan``, or the name of the stage that is held.

    Without ``what``: whatever it waits for now. What it does not wait for is not approved.
    """

    def __init__(self, order: str, what: str | None = None, reason: str = "") -> None:
        self.order, self.what, self.reason = order, what, reason

    def do(self, store: Store, context: ActionContext) -> dict[str, Any]:
        """Store the approval, with who gave it. Raises UnknownRun."""
        run_id = standing.run_of(store, self.order)
        waits = standing.stage_held(store, run_id) if store.run(run_id).approved else standing.PLAN
        if waits is None or self.what not in (None, waits):
            return {"run": run_id, "approved": None}
        reason = ", ".join(word for word in (self.reason, _who(context)) if word)
        store.approve(run_id, reason, PLAN if waits == standing.PLAN else waits)
        return {"run": run_id, "approved": waits}


class Retry(_OnStore):
    """Order that failed steps are executed again (of ``lanes``, or all), or take a refused order up again.

    While it is not ``mended`` nothing is ordered: why the order ended is the error. Gives ``order``, which is to be
    looked at from now on; it is the same one while that has not ended.
    """

    def __init__(self, order: str, lanes: list[str] | None = None, mended: bool = True) -> None:
        self.order, self.lanes, self.mended = order, lanes, mended

    def do(self, store: Store, context: ActionContext) -> dict[str, Any]:
        """Place the order, or tell why somebody is needed. Raises NeedsHands, UnknownRun."""
        found = standing.standing(store, self.order)
        if not self.mended:
            raise NeedsHands(found["why"] or f"{found['run'] or self.order} is {found['state']}: look again later")
        if not found["ended"]:
            return {"order": found["order"]}
        if found["state"] == orders.REFUSED:
            orders.reopen(store, self.order)
            return {"order": found["order"]}
        return _more(store, orders.RETRY, self.order, context, self.lanes)


class Resume(_OnStore):
    """Order that the interrupted run of an ``order`` goes on. Gives ``order``, to be looked at."""

    def __init__(self, order: str) -> None:
        self.order = order

    def do(self, store: Store, context: ActionContext) -> dict[str, Any]:
        """Place the order. Raises UnknownRun."""
        return _more(store, orders.RESUME, self.order, context)


class Revert(_OnStore):
    """Order that what the run of an ``order`` changed is taken back (in ``lanes``, or all). Gives ``order``."""

    def __init__(self, order: str, lanes: list[str] | None = None) -> None:
        self.order, self.lanes = order, lanes

    def do(self, store: Store, context: ActionContext) -> dict[str, Any]:
        """Place the order. Raises UnknownRun."""
        return _more(store, orders.REVERT, self.order, context, self.lanes)


class Report(_OnStore):
    """What the run of an ``order`` came to: ``summary``, ``state``, ``counts``, and the first ``exceptions``.

    Of an order that made no run: how it stands.
    """

    def __init__(self, order: str) -> None:
        self.order = order

    def do(self, store: Store, context: ActionContext) -> dict[str, Any]:
        """Read it. Raises UnknownRun."""
        found = standing.standing(store, self.order)
        if found["run"] is None:
            return {**found, "summary": found["why"] or found["state"]}
        told = report.report(store, found["run"])
        names = ("run", "key", "procedure", "state", "counts", "created_at", "started_at", "ended_at")
        exceptions = told["exceptions"][:_MOST_EXCEPTIONS]
        return {"summary": report.summary(told), **{name: told[name] for name in names}, "exceptions": exceptions}


def _more(
    store: Store, verb: str, order: str, context: ActionContext, lanes: list[str] | None = None
) -> dict[str, Any]:
    """Ask for more of the order's run, once for each action execution, however often Mistral delivers it."""
    run_id = standing.run_of(store, order)
    asked = orders.ask(store, f"{verb} {run_id} {_execution(context)}", verb, run_id, lanes, _who(context))
    return {"order": asked.id, "key": asked.key}


def _execution(context: ActionContext) -> str:
    return _of(context, "execution", "action_execution_id") or str(uuid4())


def _who(context: ActionContext) -> str:
    """On whose behalf, as it is kept with an order or an approval."""
    user, workflow = _of(context, "security", "user_name"), _of(context, "execution", "workflow_execution_id")
    return " ".join(["Mistral", *([f"for {user}"] if user else []), *([f"(execution {workflow})"] if workflow else [])])


def _of(context: ActionContext, part: str, name: str) -> str | None:
    """What Mistral tells of where the action is run for; None for what it does not tell."""
    found: str | None = getattr(getattr(context, part), name)
    return found
