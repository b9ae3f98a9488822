"""Rows are the truth, for outsiders too; the journal tells who did what; a snapshot brings all of it back."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stackmend.lab.control import LabError

if TYPE_CHECKING:
    from conftest import Bench


def test_statements_from_outside_show_at_once_and_are_journalled(bench: "Bench") -> None:
    server = bench.servers["app-1"]
    bench.execute("nova", "UPDATE instances SET vm_state = 'error' WHERE uuid = ?", server)
    assert bench.server("app-1")["status"] == "ERROR"
    (effect,) = bench.cloud.journal("sql.")
    assert (effect["kind"], effect["database"], effect["table"], effect["target"]) == (
        "sql.update",
        "nova",
        "instances",
        server,
    )
    assert effect["changed"] == {"vm_state": ["active", "error"]}


def test_a_statement_taken_back_is_two_effects(bench: "Bench") -> None:
    volume = bench.volumes["web-1-vol1"]
    for status in ("available", "in-use"):
        bench.execute("cinder", "UPDATE volumes SET status = ? WHERE id = ?", status, volume)
    changes = [effect["changed"]["status"] for effect in bench.cloud.journal("sql.update")]
    assert changes == [["in-use", "available"], ["available", "in-use"]]


def test_the_clouds_own_writes_are_no_statements_from_outside(bench: "Bench") -> None:
    bench.reboot("app-1")
    bench.settled("app-1")
    assert bench.cloud.journal("sql.") == []


@pytest.mark.parametrize(
    ("database", "table"),
    [
        ("nova", "instances"),
        ("nova", "block_device_mapping"),
        ("cinder", "volumes"),
        ("cinder", "volume_attachment"),
        ("neutron", "ml2_port_bindings"),
    ],
)
def test_deleting_rows_is_journalled_for_every_table_of_the_procedures(
    bench: "Bench", database: str, table: str
) -> None:
    before = bench.rows(database, f"SELECT count(*) AS n FROM {table}")[0]["n"]
    bench.execute(database, f"DELETE FROM {table}")
    assert len(bench.cloud.journal("sql.delete")) == before


def test_effects_carry_both_request_ids_and_reach_the_file(bench: "Bench") -> None:
    ours = "req-00000000-0000-4000-8000-000000000001"
    path = f"/servers/{bench.servers['app-1']}/action"
    body = {"reboot": {"type": "HARD"}}
    answer = bench.compute("POST", path, json=body, headers={"X-Openstack-Request-Id": ours})
    (effect,) = bench.cloud.journal("server.reboot")
    assert effect["request_id"] == answer.headers["x-openstack-request-id"] != ours
    assert effect["global_request_id"] == ours
    lines = [json.loads(line) for line in Path(bench.cloud.description["journal"]).read_text().splitlines()]
    assert effect in lines


def test_restore_brings_everything_back(bench: "Bench") -> None:
    before = bench.server("app-1")
    bench.cloud.settings(boot_seconds=30)
    bench.reboot("app-1")
    bench.execute("nova", "DELETE FROM instance_metadata")
    bench.execute("cinder", "UPDATE volumes SET status = 'error'")
    bench.cloud.power_cut()
    bench.cloud.restore("demo")
    after = bench.server("app-1")
    assert after == before
    assert bench.volume("web-1-vol1")["status"] == "in-use"
    assert all(guest["running"] for guest in bench.cloud.state()["guests"].values() if guest["booted_at"])
    assert bench.cloud.journal() == []


def test_changes_since_lists_what_changed(bench: "Bench") -> None:
    moment = "2099-01-01T00:00:00Z"
    assert bench.compute("GET", f"/servers/detail?all_tenants=1&changes-since={moment}").json()["servers"] == []
    later = "2098-12-31 23:00:00"
    bench.execute("nova", "UPDATE instances SET updated_at = ? WHERE uuid = ?", later, bench.servers["app-1"])
    listed = bench.compute("GET", "/servers/detail?all_tenants=1&changes-since=2098-12-31T22:00:00Z").json()["servers"]
    assert [server["name"] for server in listed] == ["app-1"]


@pytest.mark.parametrize(
    ("service", "path", "version", "limits"),
    [("compute", "/servers", "2.999", "2.1"), ("block-storage", "/volumes", "3.99", "3.0")],
)
def test_too_high_a_microversion_is_406(bench: "Bench", service: str, path: str, version: str, limits: str) -> None:
    answer = bench.call(service, "GET", path, version)
    assert answer.status_code == 406
    assert f"Version {version} is not supported by the API. Minimum is {limits}" in answer.text


def test_damage_and_seeds_are_refused_with_a_sentence(bench: "Bench") -> None:
    with pytest.raises(LabError, match="no kind of damage 'nope'"):
        bench.cloud.damage("nope", "x")
    with pytest.raises(LabError, match="there is no volume x"):
        bench.cloud.damage("volume-error", "x")
    with pytest.raises(LabError, match="a seed has no 'colour'"):
        bench.cloud.seed(colour="red")
