"""Real boards and databases, and controllers: workers as processes of their own in front of a cloud."""

import contextlib
import http.client
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import Desk, MakeDesk, quick
from waiting import until

from stackmend.lab.boards import Etcd, Redis, WatchedRedis, ZooKeeper
from stackmend.lab.databases import MariaDB, PostgreSQL
from stackmend.lab.servers import Server, running

BOARDS: dict[str, type[Server]] = {"redis": Redis, "sentinel": WatchedRedis, "etcd": Etcd, "zookeeper": ZooKeeper}
_OWN = {"redis": "namespace", "sentinel": "namespace", "etcd": "path", "zookeeper": "path"}


class Controllers:
    """A run store and a board that workers share, and those workers."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @property
    def store(self) -> str:
        """The run store's URL."""
        found: str = yaml.safe_load(Path(self.desk.path("stackmend.yaml")).read_text())["store"]
        return found

    def worker(self, *words: str) -> "subprocess.Popen[str]":
        """One more of them."""
        return self.desk.process("worker", *self.desk.sql, *words)

    def order(self, key: str = "outage", *words: str, yes: bool = True, procedure: str = "power-loss") -> None:
        """Ask for a recovery."""
        approved = ["--yes"] if yes else []
        given = quick() if procedure == "power-loss" else []
        ended = self.desk.stackmend("run", procedure, *words, "--detach", "--key", key, *approved, *given)
        assert ended.code == 0, ended.err

    def look(self, key: str = "outage") -> dict[str, Any]:
        """What became of it."""
        found: dict[str, Any] = self.desk.stackmend("order", "show", key, "-f", "json").data
        return found

    def ended(self, key: str = "outage", seconds: float = 120) -> dict[str, Any]:
        """The same, once it is over."""
        until(lambda: self.look(key)["ended"], "the order is over", seconds)
        return self.look(key)

    def report(self, key: str = "outage") -> dict[str, Any]:
        """All about its run; without lanes while there is no run."""
        run = self.look(key)["run"]
        found: dict[str, Any] = self.desk.stackmend("report", run, "-f", "json").data if run else {"lanes": []}
        return found

    def done(self, least: int, key: str = "outage") -> None:
        """Wait until so many servers are recovered."""

        def enough() -> bool:
            ended = [lane["lane"] for lane in self.report(key)["lanes"] if lane["state"] == "done"]
            return sum(lane.startswith("server:") for lane in ended) >= least

        until(enough, f"{least} servers are recovered", 90)

    def once_each(self) -> None:
        """Every server was rebooted, and once."""
        assert sorted(self.desk.rebooted()) == sorted(self.desk.servers)


def left(process: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> str:
    """Tell a worker to go, and return what it had said."""
    process.send_signal(number)
    return process.communicate(timeout=60)[1]


def answers(address: str) -> bool:
    """Whether a worker can be asked how it is, and is well."""
    try:
        return asked(address, "/healthz")[0] == 200
    except OSError:
        return False


def asked(address: str, page: str) -> tuple[int, str]:
    """The status and the text of a page of a worker's, which is watched at HOST:PORT or at a socket's path."""
    local = "/" in address
    link = http.client.HTTPConnection("localhost" if local else address, timeout=60)
    with contextlib.closing(link):
        if local:
            link.sock = socket.socket(socket.AF_UNIX)
            link.sock.connect(address)
        link.request("GET", page)
        with contextlib.closing(link.getresponse()) as answer:
            return answer.status, answer.read().decode()


MakeControllers = Callable[..., Controllers]
Servers = Callable[[type[Server]], Server]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Starts a server of a kind, once."""
    started: dict[type[Server], Any] = {}

    def of(kind: type[Server]) -> Server:
        if kind not in started:
            block = running(kind, tmp_path_factory.mktemp(kind.__name__) / "server")
            started[kind] = (block, block.__enter__())
        found: Server = started[kind][1]
        return found

    yield of
    for block, _ in started.values():
        block.__exit__(None, None, None)


@pytest.fixture
def make_controllers(
    make_desk: MakeDesk, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeControllers:
    """Makes a dark cloud of so many servers, a store on SQLite or a database's server, and a board."""
    made: list[Controllers] = []
    # requests, etcd's client's, would believe these before the board's own authority.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def make(
        count: int = 12,
        board: str | None = "redis",
        store: type[MariaDB] | type[PostgreSQL] | None = None,
        **settings: Any,
    ) -> Controllers:
        hosts = max(2, count // 8)
        names = [
            {"name": f"s{number:03}", "host": f"sim-c{number % hosts + 1:02}", "root": "volume"}
            for number in range(count)
        ]
        desk = make_desk(hosts=hosts, servers=names)
        # Slow enough that somebody can die in between.
        desk.cloud.settings(boot_seconds=1.0, boots_per_host=2)
        changes: dict[str, Any] = {"lease": 4.0, "claim": 4.0, "lanes": 6, "settle": 1.0, **settings}
        if board is not None:
            # Each test's jobs are its own.
            shared = servers(BOARDS[board])
            changes["board"] = {**shared.board, _OWN[board]: f"/{tmp_path.name}"}  # type: ignore[attr-defined]
        if store is not None:
            database = servers(store)
            assert isinstance(database, store)
            changes["store"] = database.fresh()
        desk.settings(**changes)
        made.append(Controllers(desk))
        return made[-1]

    return make
