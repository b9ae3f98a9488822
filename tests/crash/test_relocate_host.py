"""relocate-host, killed and failed: no row, record, allocation or attachment is made twice, no guest started twice."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from living import LivingDesk, MakeLiving, make_living  # noqa: F401
from mortality import Nursery
from relocation import HOST, TO, DatabaseDesk, Relocation

# Of the instants that are no effect's, one of so many.
EVERY = 30
SERVERS: list[dict[str, Any]] = [
    {"name": "db", "host": HOST, "root": "volume"},
    {"name": "idle", "host": HOST, "root": "volume", "status": "SHUTOFF"},
    {"name": "peer", "host": TO, "root": "volume"},
]
FAILURES: dict[str, dict[str, Any]] = {
    "refused": {"kind": "refused"},
    "busy": {"kind": "status", "status": 503},
    "cut before the effect": {"kind": "cut-before"},
    "cut after the effect": {"kind": "cut-after"},
}
CALLS: list[dict[str, Any]] = [
    {"service": "placement", "method": "PUT", "path": "allocations"},
    {"service": "network", "method": "PUT", "path": "ports"},
    {"service": "volume", "method": "POST", "path": "attachments$"},
    {"service": "volume", "method": "POST", "body": "os-complete"},
    {"service": "volume", "method": "DELETE", "path": "attachments"},
    {"service": "compute", "method": "POST", "body": "reboot"},
]


def died(desk: LivingDesk) -> None:
    """The host has lost its power, and is fenced already: only the moves are left to be interrupted."""
    desk.dies(HOST)
    desk.switch(HOST, forced_down=True)
    desk.switch(HOST, status="disabled", disabled_reason="dead")


@pytest.fixture
def struck(request: pytest.FixtureRequest, make_living: MakeLiving, tmp_path: Path) -> Iterator[Relocation]:  # noqa: F811
    """With all servers, or with the one that the test names beside the target's."""
    only = getattr(request, "param", "")
    servers = [server for server in SERVERS if server["name"] in (only or server["name"], "peer")]
    with Nursery(tmp_path) as nursery:
        desk = make_living(DatabaseDesk, hosts=2, servers=servers)
        yield Relocation(desk, nursery, "relocate-host", died, to=TO)


# The lane of the fence is evacuate-host's too, and killed there; the two servers' lanes differ at their end only.
@pytest.mark.parametrize(
    ("struck", "first"), [("db", "before a new row"), ("idle", "before DELETE")], indirect=["struck"]
)
def test_killed_and_resumed(struck: Relocation, first: str) -> None:
    moments = struck.moments(EVERY, since=first)
    for die_at in moments:
        struck.survives(die_at)
    around = Counter("commit" in struck.life.instants[die_at - 1] for die_at in moments)
    assert around[False] >= 2, "an effect's two sides"
    assert around[True] >= 1, "a write after it"


@pytest.mark.parametrize("failure", FAILURES)
def test_every_call_fails_once(struck: Relocation, failure: str) -> None:
    struck.set_up()
    for call in CALLS:
        struck.desk.cloud.fault(times=1, **FAILURES[failure], **call)
    life = struck.again()
    assert [fault["met"] for fault in struck.desk.cloud.faults()] == [1] * len(CALLS)
    assert life.code == 0, life.err
    struck.as_it_was(failure)
