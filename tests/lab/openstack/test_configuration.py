"""What the services read: every template of every release, and the addresses that come of one port base."""

import configparser
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from stackmend.errors import BadInput
from stackmend.lab.openstack.cluster import Cluster
from stackmend.lab.openstack.releases import RELEASES
from stackmend.lab.openstack.services import EXTRA_NAMES, EXTRAS
from stackmend.lab.openstack.site import Site


@pytest.fixture(params=sorted(RELEASES))
def cluster(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A lab with every service, written but not started."""
    for name in ("mariadbd", "mariadb-install-db", "epmd"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).touch(mode=0o755)
    monkeypatch.setattr("stackmend.lab.openstack.binaries._PATH", str(tmp_path / "bin"))
    release = RELEASES[request.param]
    site = Site(tmp_path / "lab", tmp_path / "venv", tmp_path / "broker", release, port_base=31000)
    found = Cluster(site, EXTRA_NAMES)
    found.configure()
    return found


def files(cluster: Cluster) -> list[Path]:
    return [path for path in cluster.site.etc.rglob("*") if path.is_file()]


def test_nothing_of_a_template_is_left_in_what_it_gives(cluster: Cluster) -> None:
    assert files(cluster)
    for path in files(cluster):
        assert not re.search(r"\{\{|\{%|\{#|None|Undefined|<.* object at", path.read_text()), path


def test_each_file_reads_as_what_it_is(cluster: Cluster) -> None:
    for path in files(cluster):
        if path.suffix in (".conf", ".ini") and path.parent.name != "rabbitmq":
            parser = configparser.ConfigParser(interpolation=None, default_section="none", strict=True)
            parser.read(path)
            assert parser.sections(), path
    clouds = yaml.safe_load(cluster.site.clouds_yaml.read_text())["clouds"]
    assert {name: cloud["auth"]["username"] for name, cloud in clouds.items()} == {
        "lab": "admin",
        "lab-member": "member",
    }


def test_everything_that_is_named_is_below_the_lab_or_its_environment(cluster: Cluster, tmp_path: Path) -> None:
    for path in files(cluster):
        for word in re.findall(r"(?:^|[\s=])(/[^\s:;]+)", path.read_text()):
            assert word.startswith(str(tmp_path)), f"{path}: {word}"
    for daemon in cluster.daemons.values():
        for word in (*daemon.command, *daemon.env.values()):
            assert not re.search(r"(?:^|[\s=:;])/etc", word), daemon.name


def test_each_listener_has_a_port_of_its_own_on_loopback(cluster: Cluster) -> None:
    ports = [daemon.port for daemon in cluster.daemons.values() if daemon.port]
    assert len(set(ports)) == len(ports)
    known = cluster.site.ports.values()
    assert len(set(known)) == len(known)
    assert all(31000 <= port < 31100 for port in [*ports, *known])
    for path in files(cluster):
        assert not re.search(r"0\.0\.0\.0|localhost:", path.read_text()), path


def test_each_process_is_known_by_one_name_and_waits_for_processes_that_are_there(cluster: Cluster) -> None:
    named = [daemon.name for service in cluster.services for daemon in service.daemons()]
    assert len(set(named)) == len(named)
    assert {name for daemon in cluster.daemons.values() for name in daemon.after} <= set(named)


def test_variables_are_for_the_extra_services_alone(cluster: Cluster) -> None:
    found = Cluster(replace(cluster.site, variables={"PYTHONPATH": "/plugged"}), EXTRA_NAMES)
    given = {name for name, daemon in found.daemons.items() if daemon.env.get("PYTHONPATH") == "/plugged"}
    assert given == {
        daemon.name for service in found.services if isinstance(service, EXTRAS) for daemon in service.daemons()
    }


@pytest.mark.parametrize("port_base", [80, 65500])
def test_a_port_base_without_room_is_refused(port_base: int, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"port base {port_base} is not between 1024 and"):
        Site(tmp_path, tmp_path, tmp_path, RELEASES["2026.2"], port_base)
