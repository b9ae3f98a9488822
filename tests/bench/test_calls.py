"""What a recovery of fifty servers asks of the cloud: counted, so that no poll of each server creeps in unseen."""

import math
import re
import time
from collections import Counter
from typing import Any

import pytest
from desk import Desk, MakeDesk
from living import MakeLiving, make_living  # noqa: F401

SERVERS = 50
POLL = 0.5
# Lists that lanes poll together: servers, volumes, ports, and migrations or services. A lane that has just come does
# not wait for the tick, so that each may be read twice in an interval. And the reads of before and after.
POLLED, OTHERS = 2 * 4, 25
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}")


def servers(hosts: int) -> list[dict[str, Any]]:
    """Each with a root and a data volume."""
    return [
        {"name": f"s{n:02}", "host": f"sim-c{n % hosts + 1:02}", "root": "volume", "volumes": [{"name": f"v{n:02}"}]}
        for n in range(SERVERS)
    ]


def asked(desk: Desk) -> Counter[tuple[str, str]]:
    """The calls since the start, ids and queries taken out."""
    return Counter(
        (call["method"], f"{call['service']} {_ID.sub('ID', call['path'].partition('?')[0])}")
        for call in desk.cloud.calls()
        if call["service"] not in ("identity", "redfish")
    )


def few_reads(found: Counter[tuple[str, str]], seconds: float) -> None:
    """No server, volume or port is read by itself, and lists no oftener than lanes poll."""
    reads = Counter({what: count for (method, what), count in found.items() if method == "GET"})
    assert {what: count for what, count in reads.items() if "ID" in what and count > 3} == {}
    assert reads.total() <= POLLED * math.ceil(seconds / POLL) + OTHERS, reads


def test_a_power_loss_costs_one_call_a_server(make_desk: MakeDesk) -> None:
    desk = make_desk(hosts=5, servers=servers(5))
    desk.settings(poll_interval=POLL)
    began = time.monotonic()
    assert desk.run(*desk.sql, ready_interval=POLL).code == 0
    found = asked(desk)
    changing = {what: count for (method, what), count in found.items() if method != "GET"}
    assert changing == {"compute /compute/v2.1/servers/ID/action": SERVERS}
    few_reads(found, time.monotonic() - began)


@pytest.mark.usefixtures("make_living")
def test_an_evacuation_costs_one_call_a_server(make_living: MakeLiving) -> None:  # noqa: F811
    desk = make_living(hosts=8, servers=servers(1))
    desk.settings(poll_interval=POLL)
    desk.dies("sim-c01")
    began = time.monotonic()
    ended = desk.do("evacuate-host", "sim-c01", *desk.sql)
    assert ended.code == 0, ended.err
    found = asked(desk)
    changing = Counter({what: count for (method, what), count in found.items() if method != "GET"})
    # Evacuated, and started by nova; beside that the host's service is told to be disabled and down.
    assert changing["compute /compute/v2.1/servers/ID/action"] == SERVERS
    assert changing.total() <= SERVERS + 4, changing
    few_reads(found, time.monotonic() - began)
