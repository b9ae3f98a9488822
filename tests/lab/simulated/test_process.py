"""The process itself: its files, its end, the legacy schema, and its speed with many servers."""

import time
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, inspect

from stackmend.lab.control import LabError, SimulatedCloud

if TYPE_CHECKING:
    from conftest import Bench


def test_configuration_files_lead_to_the_rows(bench: "Bench") -> None:
    for name, table in (
        ("nova", "instances"),
        ("cinder", "volume_attachment"),
        ("neutron", "ml2_port_bindings"),
    ):
        parser = RawConfigParser()
        parser.read(bench.cloud.description["configuration"][name])
        engine = create_engine(parser["database"]["connection"])
        assert table in inspect(engine).get_table_names()
        engine.dispose()


def test_a_taken_port_is_told_with_the_last_words(bench: "Bench", tmp_path: Path) -> None:
    port = int(bench.cloud.description["urls"]["identity"].split(":")[2].split("/")[0])
    with pytest.raises(LabError, match=r"ended before it served: .*Address already in use"):
        SimulatedCloud(tmp_path, port=port).start()


def test_start_and_stop_are_quick(tmp_path: Path) -> None:
    began = time.monotonic()
    cloud = SimulatedCloud(tmp_path).start()
    started = time.monotonic()
    cloud.stop()
    assert started - began < 10
    assert time.monotonic() - started < 5


def test_control_calls_need_a_running_cloud(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="not running"):
        SimulatedCloud(tmp_path).seed()


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedCloud]:
    with SimulatedCloud(tmp_path_factory.mktemp("legacy"), schema="legacy") as cloud:
        yield cloud


def test_legacy_schema_keeps_attachments_in_volumes(legacy: SimulatedCloud, running: "Bench") -> None:
    ids = legacy.seed(hosts=1, servers=2)
    engine = create_engine(legacy.description["databases"]["cinder"])
    columns = {column["name"] for column in inspect(engine).get_columns("volumes")}
    assert {"mountpoint", "instance_uuid", "instance_id", "attached_host", "attach_time"} <= columns
    assert "volume_attachment" not in inspect(engine).get_table_names()
    engine.dispose()
    with closing(type(running)(legacy)) as bench:
        volume = bench.volume("vm-01-vol1")
        (attachment,) = volume["attachments"]
        assert (attachment["server_id"], attachment["device"]) == (ids["servers"]["vm-01"], "/dev/vdb")
        bench.execute(
            "cinder",
            "UPDATE volumes SET mountpoint = NULL, instance_uuid = NULL, instance_id = 0,"
            " status = 'available', attach_status = 'detached' WHERE id = ?",
            volume["id"],
        )
        after = bench.volume("vm-01-vol1")
        assert (after["status"], after["attachments"]) == ("available", [])
        bench.reboot("vm-01")
        bench.settled("vm-01")
        assert len(bench.devices("vm-01")) == 1


def test_a_thousand_servers(tmp_path: Path, running: "Bench") -> None:
    with SimulatedCloud(tmp_path) as cloud:
        began = time.monotonic()
        cloud.seed(hosts=10, servers=1000, volumes_per_server=2)
        seeded = time.monotonic() - began
        began = time.monotonic()
        cloud.snapshot("many")
        kept = time.monotonic() - began
        with closing(type(running)(cloud)) as bench:
            bench.compute("GET", "/servers?limit=1")
            began = time.monotonic()
            servers = bench.compute("GET", "/servers/detail?all_tenants=1").json()["servers"]
            listed = time.monotonic() - began
    assert len(servers) == 1000
    # Far above what an idle machine needs (0.7, 0.01 and 0.08 s): a guard against a wrong order of growth.
    assert (seeded < 15, kept < 1, listed < 2) == (True, True, True), (seeded, kept, listed)
