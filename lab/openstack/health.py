"""Whether what was started works: by an answer, a connection, a row, a sign of life on the bus. Never by time alone."""

import http.client
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from stackmend.lab.control import LabError
from stackmend.lab.openstack.daemon import Rpc
from stackmend.lab.openstack.site import ADDRESS, Site

_PING = Path(__file__).parent / "inside" / "ping.py"
_POLL = 0.1
# Rows change every few seconds, and reading them takes the processors from what shall start.
_ROWS_POLL = 0.5
# Each names one row by BINARY@HOST, with the time that it holds.
_HEARTBEATS = (
    "SELECT CONCAT(`binary`, '@', host), last_seen_up FROM nova.services WHERE deleted = 0",
    "SELECT CONCAT(`binary`, '@', host), updated_at FROM cinder.services WHERE deleted = 0",
    "SELECT CONCAT(`binary`, '@', host), heartbeat_timestamp FROM neutron.agents",
)
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def until(condition: Callable[[], bool], seconds: float, poll: float = _POLL) -> bool:
    """Ask every ``poll`` seconds until it is so; False when it is not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def answers(url: str, timeout: float = 2.0) -> bool:
    """Whether an API answers with anything but a failure of its own."""
    try:
        _direct.open(url, timeout=timeout).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except (OSError, http.client.HTTPException):
        return False
    return True


def connects(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((ADDRESS, port)) == 0


@contextmanager
def database(site: Site) -> Iterator[Connection]:
    """A connection to MariaDB; what was done is committed at the end. Tables are named with their database."""
    engine = create_engine(site.database(), poolclass=NullPool)
    with engine.begin() as link:
        yield link


def rows(site: Site, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows that a SELECT gives."""
    with database(site) as link:
        return [tuple(row) for row in link.execute(text(statement), values)]


def heartbeats(site: Site) -> dict[str, str]:
    """When each service last reported, by ``BINARY@HOST``; nothing while the database is away."""
    try:
        with database(site) as link:
            return {str(name): str(when) for query in _HEARTBEATS for name, when in link.execute(text(query))}
    except DBAPIError:
        return {}


def reported(site: Site, names: Iterable[str], before: dict[str, str], seconds: float) -> None:
    """Wait until each has reported since ``before`` was read; LabError names those that did not."""
    silent = set(names)

    def all_did() -> bool:
        now = heartbeats(site)
        silent.difference_update([name for name in silent if now.get(name, "None") not in ("None", before.get(name))])
        return not silent

    if not until(all_did, seconds, _ROWS_POLL):
        raise LabError(f"no report of {', '.join(sorted(silent))} within {seconds:g} s; see {site.logs}")


@contextmanager
def pinged(site: Site, servers: Iterable[Rpc], seconds: float) -> Iterator[None]:
    """Ask RPC servers for a sign of life while the caller waits for something else, and leave when each has answered.

    LabError names those that do not.
    """
    names = [f"{rpc.exchange},{rpc.topic},{rpc.server}" for rpc in servers]
    if not names:
        yield
        return
    command = [site.program("python"), str(_PING), site.transport_url, str(seconds), *names]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=site.environment(), stdout=pipe, stderr=pipe, text=True) as asking:
        try:
            yield
            told, failed = asking.communicate()
        finally:
            asking.kill()
    if asking.returncode:
        said = ", ".join(told.split()) or failed.strip().splitlines()[-1]
        raise LabError(f"no answer over RPC within {seconds:g} s: {said}; see {site.logs}")
