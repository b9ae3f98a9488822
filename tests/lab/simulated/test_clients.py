"""The real clients against the simulated cloud: openstacksdk and the openstack command."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Bench

# openstacksdk 4 warns of its own future in each of its own calls.
SDK_WARNS = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning")


def openstack(bench: "Bench", *words: str, cloud: str = "sim") -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("openstack")
    return subprocess.run(
        [command, *words],
        env=bench.cloud.environment(cloud),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def listed(bench: "Bench", *words: str) -> Any:
    done = openstack(bench, *words, "-f", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_command_lists_servers_and_volumes(bench: "Bench") -> None:
    servers = {row["Name"]: row for row in listed(bench, "server", "list", "--all-projects", "--long")}
    assert set(servers) == set(bench.servers)
    assert servers["old-1"]["Status"] == "SHUTOFF"
    assert servers["db-1"]["Image Name"] == "N/A (booted from volume)"
    assert {row["Name"] for row in listed(bench, "volume", "list", "--all-projects")} == set(bench.volumes)


def test_command_reboots_and_shows_the_event(bench: "Bench") -> None:
    server = bench.servers["web-1"]
    assert openstack(bench, "server", "reboot", "--hard", "--wait", server).returncode == 0
    (event,) = listed(bench, "server", "event", "list", server)
    assert event["Action"] == "reboot"
    assert [effect["target"] for effect in bench.cloud.journal("server.reboot")] == [server]


LISTS = (
    "compute service list",
    "hypervisor list",
    "volume service list",
    "network agent list",
    "network list",
    "port list",
    "image list",
    "flavor list",
    "project list",
    "volume type list",
    "server group list --all-projects",
    "catalog list",
    "availability zone list",
    "aggregate list",
)


def test_command_lists_everything_else(bench: "Bench") -> None:
    command = Path(sys.executable).with_name("openstack")
    done = subprocess.run(
        [command],
        input="\n".join(f"{words} -f json" for words in LISTS),
        env=bench.cloud.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "HTTP" not in done.stderr, done.stderr
    assert all(word in done.stdout for word in ("sim-c01", "cinder-volume", "net1", "cirros", "multiattach", "app"))


def test_member_may_not_see_the_whole_cloud(bench: "Bench") -> None:
    done = openstack(bench, "server", "list", "--all-projects", cloud="sim-member")
    assert done.returncode != 0
    assert "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed" in done.stderr


@SDK_WARNS
def test_sdk_reads_servers_volumes_ports_and_actions(bench: "Bench") -> None:
    server = bench.admin.compute.get_server(bench.servers["db-1"])
    assert (server.status, server.compute_host, server.metadata) == (
        "ACTIVE",
        "sim-c01",
        {"stackmend:priority": "10"},
    )
    assert {volume.name for volume in bench.admin.block_storage.volumes(all_projects=True)} == set(bench.volumes)
    (port,) = bench.admin.network.ports(device_id=server.id)
    assert port.binding_host_id == "sim-c01"
    assert [group.name for group in bench.admin.compute.server_groups(all_projects=True)] == ["app"]


def test_wrong_password_is_refused_as_keystone_does(bench: "Bench", tmp_path: Path) -> None:
    clouds = Path(bench.cloud.description["clouds_yaml"]).read_text()
    wrong = tmp_path / "clouds.yaml"
    wrong.write_text(clouds.replace("password: ", "password: not-"))
    environment = {**bench.cloud.environment(), "OS_CLIENT_CONFIG_FILE": str(wrong)}
    command = Path(sys.executable).with_name("openstack")
    done = subprocess.run([command, "token", "issue"], env=environment, capture_output=True, text=True, check=False)
    assert "The request you have made requires authentication. (HTTP 401)" in done.stderr


@SDK_WARNS
def test_pages_follow_limit_and_marker(bench: "Bench") -> None:
    paged = [server.id for server in bench.admin.compute.servers(all_projects=True, limit=2)]
    assert sorted(paged) == sorted(bench.servers.values())
    assert len(bench.cloud.calls()) >= 5
