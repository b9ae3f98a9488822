"""Fixtures of the clients' tests: a scripted cloud, and a clouds.yaml that leads to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripted_cloud import PASSWORD, Site

from stackmend.clients.cloud import Cloud, Timeouts

QUICK = Timeouts(connect=2.0, read=0.5, patience=0.7)


@pytest.fixture
def site() -> Iterator[Site]:
    """A keystone and a scripted compute service on one port."""
    one = Site()
    yield one
    one.close()


@pytest.fixture
def clouds_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes clouds.yaml with one cloud ``test``; nothing else of the machine's configuration counts."""
    for name in (
        "OS_CLOUD",
        "OS_AUTH_URL",
        "OS_USERNAME",
        "OS_PASSWORD",
        "OS_PROJECT_NAME",
        "OS_REGION_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def write(auth_url: str, password: str = PASSWORD, **more: Any) -> None:
        auth = {"auth_url": auth_url, "username": "ann", "password": password, "project_name": "admin"}
        auth |= {"user_domain_name": "Default", "project_domain_name": "Default"}
        path = tmp_path / "clouds.yaml"
        path.write_text(yaml.safe_dump({"clouds": {"test": {"auth": auth, "region_name": "R1", **more}}}))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))

    return write


@pytest.fixture
def connect(site: Site, clouds_yaml: Callable[..., None]) -> Iterator[Callable[..., Cloud]]:
    """Connects to the scripted cloud, with short time-outs unless others are given."""
    opened: list[Cloud] = []

    def make(**options: Any) -> Cloud:
        clouds_yaml(f"{site.url}/v3")
        opened.append(Cloud.connect("test", **{"timeouts": QUICK, **options}))
        return opened[-1]

    yield make
    for cloud in opened:
        cloud.close()


@pytest.fixture
def cloud(connect: Callable[..., Cloud]) -> Cloud:
    """The scripted cloud with short time-outs."""
    return connect()
