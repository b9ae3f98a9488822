"""Several controllers at work on one run: whoever dies, sleeps or goes, each effect comes once, and all is done."""

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from controllers import Controllers, MakeControllers, Servers, left
from waiting import until

from stackmend.engine import board
from stackmend.lab.boards import Redis, WatchedRedis
from stackmend.lab.databases import MariaDB, PostgreSQL

pytestmark = pytest.mark.hosts


@pytest.fixture(params=[MariaDB, PostgreSQL])
def database(request: pytest.FixtureRequest) -> type[MariaDB] | type[PostgreSQL]:
    """Where the run store is."""
    found: type[MariaDB] | type[PostgreSQL] = request.param
    return found


@pytest.fixture
def house(make_controllers: MakeControllers, database: type[MariaDB] | type[PostgreSQL]) -> Controllers:
    """Sixteen servers that are down; Redis behind TLS and a password, and a database's server."""
    return make_controllers(16, "redis", store=database)


@pytest.mark.parametrize("kind", ["etcd", "redis", "zookeeper"])
def test_lanes_of_a_run_are_shared(make_controllers: MakeControllers, kind: str) -> None:
    house = make_controllers(12, kind, lanes=3)
    workers = [house.worker() for _ in range(2)]
    house.order()
    found = house.ended()
    told = [left(worker) for worker in workers]
    assert (found["state"], found["ended"]) == ("done", True)
    house.once_each()
    # Both had a share of it, and no lane was executed twice.
    done = [{line for line in text.splitlines() if line.endswith(": done")} for text in told]
    assert all(done)
    assert not done[0] & done[1]
    assert all(worker.returncode == 0 for worker in workers), told


def test_a_worker_that_is_killed_leaves_its_lanes_to_others(house: Controllers) -> None:
    workers = [house.worker() for _ in range(2)]
    house.order()
    house.done(2)
    workers[0].kill()
    workers.append(house.worker())
    assert house.ended()["state"] == "done"
    house.once_each()
    assert [event["what"] for event in house.report()["events"]][-1] == "done"


def test_a_worker_that_sleeps_too_long_calls_nothing_more(house: Controllers) -> None:
    workers = [house.worker() for _ in range(2)]
    house.order()
    house.done(2)
    os.kill(workers[0].pid, signal.SIGSTOP)
    assert house.ended()["state"] == "done"
    before = house.desk.calls()
    os.kill(workers[0].pid, signal.SIGCONT)
    told = left(workers[0])
    assert house.desk.calls() == before
    assert "Traceback" not in told
    house.once_each()


def test_whoever_is_told_to_go_ends_its_step_and_no_more(house: Controllers) -> None:
    first = house.worker()
    house.order()
    house.done(1)
    told = left(first)
    assert (first.returncode, "Traceback" in told) == (0, False)
    between = house.report()["lanes"]
    assert {step["state"] for lane in between for step in lane["steps"]} <= {"done", "pending"}
    assert any(step["state"] == "pending" for lane in between for step in lane["steps"])
    house.worker()
    assert house.ended()["state"] == "done"
    house.once_each()
    assert all(step["attempts"] <= 1 for lane in house.report()["lanes"] for step in lane["steps"])


def test_the_board_is_emptied_and_the_database_goes_away(
    house: Controllers, servers: Servers, database: type[MariaDB] | type[PostgreSQL]
) -> None:
    """Redis forgets everything when it is started again; the database is killed, and comes back."""
    redis, base = servers(Redis), servers(database)
    for _ in range(2):
        house.worker()
    house.order()
    house.done(2)
    redis.stop(kill=True)
    redis.start()
    house.done(4)
    base.stop(kill=True)
    base.start()
    assert house.ended()["state"] == "done"
    house.once_each()


def test_the_sentinel_puts_another_redis_in_the_place_of_one_that_dies(
    make_controllers: MakeControllers, servers: Servers
) -> None:
    house, board = make_controllers(16, "sentinel", store=MariaDB), servers(WatchedRedis)
    assert isinstance(board, WatchedRedis)
    for _ in range(2):
        house.worker()
    house.order()
    house.done(2)
    board.master.stop(kill=True)
    assert house.ended()["state"] == "done"
    house.once_each()


def test_a_run_that_is_given_up_is_taken_from_the_workers(house: Controllers) -> None:
    worker = house.worker()
    house.order()
    house.done(1)
    left(worker, signal.SIGKILL)
    until(lambda: house.desk.stackmend("abandon", "outage").code == 0, "its lease has run out")
    before = house.desk.calls()
    other = house.worker()
    until(lambda: not list(jobs(house)), "no job of it is left on the board")
    assert left(other).count("Traceback") == 0
    assert (house.look()["state"], house.desk.calls()) == ("abandoned", before)


def jobs(house: Controllers) -> list[object]:
    """What is on the board."""
    settings = yaml.safe_load(Path(house.desk.path("stackmend.yaml")).read_text())
    with closing(board.opened(settings["board"])) as found:
        return list(found.iterjobs(ensure_fresh=True))
