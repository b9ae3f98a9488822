"""A live migration under way: ended, hurried, and one whose target goes away."""

from typing import TYPE_CHECKING, Any

import pytest
from waiting import until

if TYPE_CHECKING:
    from conftest import Bench

SOURCE, TARGET = "sim-c01", "sim-c02"


@pytest.fixture
def copying(bench: "Bench") -> "Bench":
    """db-1 on its way to another host, for longer than anybody waits."""
    bench.cloud.settings(migrate_seconds=60.0)
    body = {"host": TARGET, "block_migration": "auto"}
    assert bench.act("db-1", "2.68", **{"os-migrateLive": body}).status_code == 202
    until(lambda: migration(bench)["status"] == "running", "it copies memory")
    return bench


def migration(bench: "Bench") -> dict[str, Any]:
    """The newest record of db-1."""
    path = f"/os-migrations?instance_uuid={bench.servers['db-1']}"
    found: dict[str, Any] = bench.compute("GET", path).json()["migrations"][0]
    return found


def place(bench: "Bench") -> str:
    """Where db-1's migration is shown."""
    return f"/servers/{bench.servers['db-1']}/migrations/{migration(bench)['id']}"


def bindings(bench: "Bench") -> list[tuple[str, str]]:
    """Where db-1's port is bound."""
    port = bench.call("network", "GET", f"/v2.0/ports?device_id={bench.servers['db-1']}").json()["ports"][0]["id"]
    found = bench.call("network", "GET", f"/v2.0/ports/{port}/bindings").json()["bindings"]
    return sorted((row["host"], row["status"]) for row in found)


def test_one_that_is_aborted_leaves_everything_as_it_was(copying: "Bench") -> None:
    assert bindings(copying) == [(SOURCE, "ACTIVE"), (TARGET, "INACTIVE")]
    assert copying.compute("DELETE", place(copying)).status_code == 202
    server = copying.settled("db-1", "ACTIVE")
    until(lambda: migration(copying)["status"] == "cancelled", "it was taken back")
    assert server["OS-EXT-SRV-ATTR:host"] == SOURCE
    assert bindings(copying) == [(SOURCE, "ACTIVE")]
    volume = copying.volume("db-data")
    assert (volume["status"], [item["host_name"] for item in volume["attachments"]]) == ("in-use", [SOURCE])
    assert len(copying.call("placement", "GET", f"/allocations/{server['id']}").json()["allocations"]) == 1


def test_one_that_is_hurried_arrives(copying: "Bench") -> None:
    assert copying.compute("POST", f"{place(copying)}/action", json={"force_complete": None}).status_code == 202
    until(lambda: migration(copying)["status"] == "completed", "it arrived")
    assert copying.settled("db-1", "ACTIVE")["OS-EXT-SRV-ATTR:host"] == TARGET


def test_one_to_a_host_that_has_just_died_fails(bench: "Bench") -> None:
    bench.cloud.settings(rpc_timeout=0.1)
    bench.cloud.host(TARGET, "kill")
    body = {"host": TARGET, "block_migration": "auto"}
    assert bench.act("db-1", "2.68", **{"os-migrateLive": body}).status_code == 202
    until(lambda: migration(bench)["status"] == "error", "it failed")
    assert bench.settled("db-1", "ACTIVE")["OS-EXT-SRV-ATTR:host"] == SOURCE
    assert bindings(bench) == [(SOURCE, "ACTIVE")]
