"""The actions as Mistral's executor runs them: on a run store, with a context, each in one call."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from desk import Desk, quick

from stackmend.engine import orders, plan, tables
from stackmend.engine.database import writing
from stackmend.engine.orders import Order
from stackmend.engine.ownership import Lease
from stackmend.engine.store import Store

with warnings.catch_warnings():
    # mistral-lib's own imports warn of what they still support.
    warnings.simplefilter("ignore")
    from mistral_lib.actions import context as contexts

    from stackmend.workbooks import actions

TRUSTED = "0f6f1c5a"


def context(project: str | None = TRUSTED, execution: str = "action-1") -> contexts.ActionContext:
    """What Mistral tells an action."""
    security = contexts.SecurityContext(project_id=project, user_name="carol")
    told = contexts.ExecutionContext(action_execution_id=execution, workflow_execution_id="workflow-1")
    return contexts.ActionContext(security, told)


def done(action: Any, **more: Any) -> Any:
    """What an action that must succeed gives."""
    result = action.run(context(**more))
    assert result.error is None
    return result.data


def refused(action: Any, **more: Any) -> str:
    """The error of one that must not."""
    result = action.run(context(**more))
    assert result.data is None
    return str(result.error)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An executor's host, whose settings name a run store and whom to trust."""
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    (tmp_path / "stackmend.yaml").write_text(yaml.safe_dump({"store": url, "mistral_projects": [TRUSTED]}))
    monkeypatch.setenv("STACKMEND_CONFIG", str(tmp_path / "stackmend.yaml"))
    monkeypatch.delenv("STACKMEND_STORE", raising=False)
    found = Store(url)
    yield found
    found.close()


def start(key: str = "outage", **given: Any) -> Any:
    return actions.Start(**{"procedure": "power-loss", "key": key, **given})


def test_the_same_key_orders_once_however_often_it_is_delivered(store: Store) -> None:
    first = done(start(parameters={"server": ["web-1"], "host": None}))
    again = done(start(parameters={"server": ["web-2"]}), execution="action-2")
    assert (first["new"], again["new"], again["order"]) == (True, False, first["order"])
    (order,) = orders.orders(store)
    assert (order.parameters, order.approved) == ({"server": ["web-1"]}, False)
    assert order.asked_by == "Mistral for carol (execution workflow-1)"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"procedure": "power-los"}, "there is no procedure power-los; did you mean power-loss?"),
        ({"parameters": {"sever": "web-1"}}, "power-loss has no parameter sever; did you mean server?"),
        ({"approved": "perhaps"}, "parameter approved takes true or false, not 'perhaps'"),
        ({"key": ""}, "an order needs a key of 1 to 255 characters: what names the incident"),
    ],
)
def test_what_can_not_be_ordered_is_told_in_one_sentence(store: Store, given: dict[str, Any], why: str) -> None:
    assert refused(start(**given)) == why
    assert orders.orders(store) == []


@pytest.mark.parametrize("project", [None, "", "f00d"])
def test_a_project_that_nobody_named_is_refused(store: Store, project: str | None) -> None:
    told = refused(start(), project=project)
    assert told.startswith(f"the project {project} may not order recoveries: name its id in mistral_projects")
    assert orders.orders(store) == []


def test_without_settings_nobody_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.yaml").touch()
    monkeypatch.setenv("STACKMEND_CONFIG", str(tmp_path / "empty.yaml"))
    monkeypatch.setenv("STACKMEND_STORE", f"sqlite:///{tmp_path}/never.sqlite")
    assert "may not order recoveries" in refused(start())
    assert not (tmp_path / "never.sqlite").exists()


def test_a_refused_order_is_told_and_taken_up_again_once_it_is_mended(store: Store) -> None:
    order = done(start())["order"]
    waiting = done(actions.Look(order))
    assert (waiting["state"], waiting["ended"], waiting["waits"]) == (orders.WAITING, False, None)
    orders.settle(store, taken(store), orders.REFUSED, why="keystone is down")
    told = done(actions.Look("outage"))
    assert (told["ended"], told["well"], told["why"]) == (True, False, "keystone is down")
    assert refused(actions.Retry(order, mended=False)) == "keystone is down"
    assert done(actions.Look(order))["state"] == orders.REFUSED
    assert done(actions.Retry(order)) == {"order": order}
    assert done(actions.Look(order))["state"] == orders.WAITING
    # A second delivery finds that it has been done.
    assert done(actions.Retry(order)) == {"order": order}
    assert len(orders.orders(store)) == 1


def test_nothing_to_do_is_well(store: Store) -> None:
    order = done(start())["order"]
    orders.settle(store, taken(store), orders.NOTHING)
    told = done(actions.Look(order))
    assert (told["ended"], told["well"], told["why"]) == (True, True, None)
    assert done(actions.Report(order))["summary"] == orders.NOTHING


def test_a_run_store_that_is_away_ends_nothing(store: Store, tmp_path: Path) -> None:
    order = done(start())["order"]
    store.close()
    (tmp_path / "runs.sqlite").write_text("no database")
    told = done(actions.Look(order))
    assert (told["ended"], told["state"]) == (False, None)
    assert "runs.sqlite" in told["why"]
    assert "runs.sqlite" in refused(start())


def test_an_order_that_nobody_placed(store: Store) -> None:
    assert refused(actions.Look("never")).startswith("nothing was ordered under the key never")
    assert refused(actions.Approve("never")).startswith("there is no run never")


def taken(store: Store) -> Order:
    """The order, as a worker has it."""
    order = orders.take(store, "worker")
    assert order is not None
    return order


@pytest.fixture
def at_a_desk(pair: Desk) -> Iterator[Store]:
    """A run store beside a simulated cloud, and a project that may order."""
    pair.settings(mistral_projects=[TRUSTED])
    found = Store(f"sqlite:///{pair.store}")
    yield found
    found.close()


def test_what_is_approved_is_what_was_shown(at_a_desk: Store, pair: Desk) -> None:
    order = carried_out(at_a_desk, pair)
    assert done(actions.Look(order))["waits"] == "plan"
    assert done(actions.Approve(order, what="back"))["approved"] is None
    assert done(actions.Look(order))["waits"] == "plan"
    assert done(actions.Approve(order, what="plan"))["approved"] == "plan"
    assert done(actions.Approve(order, what="plan"))["approved"] is None
    (approval,) = [event for event in events(at_a_desk, order) if event["what"] == "approved"]
    assert approval["detail"] == "Mistral for carol (execution workflow-1)"
    told = done(actions.Look(order))
    assert (told["state"], told["waits"], told["ended"]) == ("pending", None, False)


def test_a_run_that_failed_is_told_retried_once_and_reported(at_a_desk: Store, pair: Desk) -> None:
    order = carried_out(at_a_desk, pair, approved=True)
    pair.cloud.fault("status", service="compute", method="POST", path="/action", status=409, times=100)
    assert pair.stackmend("resume", "outage").code == 3
    told = done(actions.Look(order))
    assert (told["ended"], told["well"], told["state"]) == (True, False, "done-with-exceptions")
    assert "was refused with 409" in told["why"]
    assert refused(actions.Retry(order, mended=False)) == told["why"]
    assert [found.verb for found in orders.orders(at_a_desk)] == ["run"]
    retried = done(actions.Retry(order))["order"]
    assert done(actions.Retry(order))["order"] == retried != order
    assert [found.verb for found in orders.orders(at_a_desk)] == ["retry", "run"]
    assert (done(actions.Look(retried))["ended"], done(actions.Look(retried))["state"]) == (False, orders.WAITING)
    pair.cloud.clear_faults()
    assert pair.stackmend("retry", "outage").code == 0
    orders.settle(at_a_desk, taken(at_a_desk), orders.CARRIED_OUT)
    assert done(actions.Look(retried))["well"]
    report = done(actions.Report(order))
    assert (report["state"], report["exceptions"], report["key"]) == ("done", [], "outage")


def test_a_look_at_a_run_that_somebody_works_on_reads_neither_plan_nor_lanes(at_a_desk: Store, pair: Desk) -> None:
    order = carried_out(at_a_desk, pair, approved=True)
    run = str(orders.find(at_a_desk, order).run)
    lease = Lease.take(at_a_desk.engine, run, take_over=False)
    with writing(at_a_desk.engine) as connection:
        plan_text = connection.execute(sa.select(tables.RUNS.c.plan)).scalar_one()
        connection.execute(sa.update(tables.RUNS).values(plan="too long to be read"))
    told = done(actions.Look(order))
    assert told == {
        "order": order,
        "run": run,
        "procedure": "power-loss",
        "state": "running",
        "why": None,
        "counts": None,
        "ended": False,
        "well": False,
        "waits": None,
    }
    with writing(at_a_desk.engine) as connection:
        connection.execute(sa.update(tables.RUNS).values(plan=plan_text))
    lease.release()
    assert sum(done(actions.Look(order))["counts"].values()) > 0


def test_more_of_a_run_is_asked_once_for_each_action(at_a_desk: Store, pair: Desk) -> None:
    order = carried_out(at_a_desk, pair, approved=True)
    for kind, verb in ((actions.Resume, "resume"), (actions.Revert, "revert")):
        first = done(kind(order), execution=f"{verb}-1")["order"]
        assert done(kind("outage"), execution=f"{verb}-1")["order"] == first
        assert done(kind(order), execution=f"{verb}-2")["order"] != first
    verbs = [found.verb for found in orders.orders(at_a_desk)]
    assert sorted(verbs) == ["resume", "resume", "revert", "revert", "run"]


def carried_out(store: Store, desk: Desk, approved: bool = False) -> str:
    """An order that a worker has made a run of; returns its id."""
    order = str(done(start(approved=approved))["order"])
    desk.stackmend("plan", "power-loss", "-o", desk.path("plan.json"), *quick())
    run, _ = store.create(plan.read(desk.path("plan.json")), "outage")
    if approved:
        store.approve(run)
    orders.settle(store, taken(store), orders.CARRIED_OUT, run)
    return order


def events(store: Store, order: str) -> list[dict[str, Any]]:
    return store.events(str(orders.find(store, order).run))
