"""What is ordered is carried out by a worker, once, and says what became of it."""

import json
import re
import signal
import threading
from pathlib import Path

import pytest
from controllers import Controllers, MakeControllers, answers, asked, left
from desk import assert_refused
from waiting import until

from stackmend.engine import orders
from stackmend.engine.store import Store
from stackmend.engine.worker import Limit, Worker
from stackmend.engine.working import Session
from stackmend.errors import Refused
from stackmend.lab.servers import free_port


@pytest.fixture
def alone(make_controllers: MakeControllers) -> Controllers:
    """Six servers, and workers without a board."""
    return make_controllers(6, None)


def test_an_order_is_carried_out_once(alone: Controllers) -> None:
    alone.worker()
    alone.order()
    alone.order()
    assert alone.ended()["state"] == "done"
    alone.once_each()
    (row,) = json.loads(alone.desk.stackmend("order", "list", "-f", "json").out)
    assert (row["Key"], row["State"], row["For"]) == ("outage", "carried-out", "power-loss")


def test_another_worker_goes_on_where_one_was_killed(alone: Controllers) -> None:
    first = alone.worker()
    alone.order()
    alone.done(1)
    left(first, signal.SIGKILL)
    alone.worker()
    assert alone.ended()["state"] == "done"
    alone.once_each()


def test_a_plan_that_nobody_approved_waits(alone: Controllers) -> None:
    alone.worker()
    alone.order(yes=False)
    until(lambda: alone.look()["state"] == "awaiting-approval", "it is planned")
    assert alone.desk.rebooted() == []
    assert alone.desk.stackmend("approve", "outage").code == 0
    assert alone.ended()["state"] == "done"
    alone.once_each()


def test_what_can_not_be_done_says_why(alone: Controllers) -> None:
    alone.worker()
    alone.order("dead", "sim-c09", procedure="evacuate-host")
    found = alone.ended("dead")
    assert found["state"] == "refused"
    assert "sim-c09" in found["why"]


def test_an_order_that_meets_a_defect_is_refused_and_the_next_one_is_carried_out(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/runs.sqlite")

    def session() -> Session:
        raise ZeroDivisionError if len(orders.orders(store)) == 1 else Refused("no such user")

    worker = Worker(store, session, None, Limit())
    thread = threading.Thread(target=worker.work)
    thread.start()
    try:
        for key, why in (("first", "a bug of stackmend, ZeroDivisionError()"), ("second", "no such user")):
            orders.place(store, key, "power-loss", {})
            until(lambda key=key: orders.find(store, key).state == orders.REFUSED, "it is refused")
            assert orders.find(store, key).why == why
    finally:
        worker.stop()
        thread.join()
        store.close()


def test_nothing_to_do_is_said(alone: Controllers) -> None:
    alone.worker()
    alone.order("volumes", procedure="reattach-volumes")
    found = alone.ended("volumes")
    assert (found["state"], found["run"]) == ("nothing-to-do", None)


def test_that_nothing_can_be_done_is_no_good_end(alone: Controllers) -> None:
    alone.worker()
    alone.desk.execute("nova", "UPDATE instances SET task_state = 'spawning'")
    alone.order()
    found = alone.ended()
    assert (found["state"], found["run"]) == ("refused", None)
    said = r"s00\d: impossible, nova is spawning it: wait for that to end, then plan again \(and 5 more\)"
    assert re.fullmatch(said, found["why"])


def test_an_order_waits_for_a_cloud_that_is_away(alone: Controllers) -> None:
    alone.desk.settings(lease=4.0, patience=0.5)
    alone.desk.cloud.fault("status", status=503, service="identity")
    alone.worker()
    alone.order()
    until(lambda: alone.look()["why"], "the worker has tried")
    assert alone.look()["state"] == "taken"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "power-loss", "--detach"), "--key"),
        (("run", "power-los", "--detach", "--key", "a"), "power-loss"),
        (("run", "power-loss", "--detach", "--key", "a" * 300), "255"),
        (("order", "show", "nothing"), "nothing was ordered"),
        (("worker", "--watched-at", "nowhere"), "--watched-at nowhere"),
    ],
)
def test_bad_words_are_refused(alone: Controllers, words: tuple[str, ...], said: str) -> None:
    assert_refused(alone.desk, alone.desk.stackmend(*words), 2, said)


@pytest.mark.parametrize(
    ("board", "said"),
    [
        ({"host": "here"}, "its kind"),
        ({"kind": "redis", "hots": "here"}, "did you mean host?"),
        ({"kind": "redis", "password_file": "/nowhere/secret"}, "/nowhere/secret can't be read"),
    ],
)
def test_a_board_that_can_not_be_is_refused(alone: Controllers, board: dict[str, object], said: str) -> None:
    alone.desk.settings(board=board)
    assert_refused(alone.desk, alone.desk.stackmend("worker"), 2, said)


def test_a_board_that_does_not_answer_is_named_without_its_secret(alone: Controllers) -> None:
    secret = alone.desk.directory / "secret"
    secret.write_text("hidden-from-all\n")
    alone.desk.settings(board={"kind": "redis", "host": "127.0.0.1", "port": 1, "password_file": str(secret)})
    ended = alone.desk.stackmend("worker")
    assert_refused(alone.desk, ended, 8, "127.0.0.1:1 does not answer")
    assert "hidden" not in ended.err


@pytest.mark.parametrize("kind", ["port", "socket"])
def test_a_worker_is_watched(alone: Controllers, kind: str) -> None:
    address = f"127.0.0.1:{free_port()}" if kind == "port" else alone.desk.path("watched")
    for _ in range(2):
        # The second one finds the socket of the first.
        worker = alone.worker("--watched-at", address)
        alone.order()
        assert alone.ended()["state"] == "done"
        until(lambda: answers(address), "it can be asked")
        status, metrics = asked(address, "/metrics")
        assert (status, 'stackmend_orders{state="carried-out"} 1.0' in metrics) == (200, True)
        assert json.loads(asked(address, "/healthz")[1])["worker"].endswith(f"-{worker.pid}")
        assert asked(address, "/")[0] == 404
        left(worker, signal.SIGKILL)


def test_a_file_in_the_place_of_its_socket_is_left_alone(alone: Controllers) -> None:
    Path(alone.desk.path("notes")).write_text("mine")
    refused = alone.desk.stackmend("worker", "--watched-at", alone.desk.path("notes"))
    assert_refused(alone.desk, refused, 2, "is no socket")
    assert Path(alone.desk.path("notes")).read_text() == "mine"
