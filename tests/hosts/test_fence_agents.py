"""Debian's own fence agents, against controllers that are programs: what they say, and what is made of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts.bmc import SECRET, USER, ipmi, missing, redfish
from living import LivingDesk, living, make_living  # noqa: F401

from stackmend.clients.fencing import Fences
from stackmend.clients.inventory import Inventory
from stackmend.errors import AnswerLost, HostUnreachable

pytestmark = pytest.mark.hosts
HOST = "sim-c01"


@pytest.fixture(autouse=True)
def _installed() -> None:
    if what := missing():
        pytest.fail(f"{what} (or leave these tests out: -m 'not hosts')")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the controllers have their files; the password's is ``secret``."""
    found = tmp_path / "bmc"
    found.mkdir()
    (found / "secret").write_text(f"{SECRET}\n")
    return found


@pytest.fixture(params=["redfish", "ipmi"])
def fence(request: pytest.FixtureRequest, directory: Path) -> Iterator[dict[str, Any]]:
    """What an inventory says of a host's fence agent."""
    login = {"ip": "127.0.0.1", "username": USER, "password_file": str(directory / "secret")}
    if request.param == "redfish":
        with redfish(directory, HOST) as port:
            uri = f"/redfish/v1/Systems/{HOST}"
            more = {"ipport": port, "systems_uri": uri, "ssl_insecure": True, "power_timeout": 30}
            yield {"agent": "/usr/sbin/fence_redfish", "options": {**login, **more}}
        return
    with ipmi(directory) as port:
        more = {"ipport": port, "lanplus": True, "cipher": 3, "power_timeout": 30}
        yield {"agent": "/usr/sbin/fence_ipmilan", "options": {**login, **more}}


def fences(fence: dict[str, Any], **options: Any) -> Fences:
    """The door, with some options otherwise; one that is None is left out."""
    merged = {name: value for name, value in {**fence["options"], **options}.items() if value is not None}
    return Fences(Inventory({"hosts": {HOST: {"fence": {**fence, "options": merged}}}}), seconds=60)


def test_off_and_on(fence: dict[str, Any]) -> None:
    door = fences(fence)
    assert door.power(HOST) == "on"
    assert "OFF" in door.switch(HOST, "off")
    assert door.power(HOST) == "off"
    assert "Already OFF" in door.switch(HOST, "off")
    assert "ON" in door.switch(HOST, "on")
    assert door.power(HOST) == "on"


def test_a_wrong_password(fence: dict[str, Any], directory: Path) -> None:
    (directory / "secret").write_text("something-else\n")
    with pytest.raises(HostUnreachable, match="check the address, user and password") as caught:
        fences(fence).power(HOST)
    assert "something-else" not in str(caught.value)


class TestRedfish:
    """What only Redfish can do wrong."""

    @pytest.fixture(params=["redfish"])
    def fence(self, directory: Path) -> Iterator[dict[str, Any]]:
        with redfish(directory, HOST) as port:
            login = {"ip": "127.0.0.1", "username": USER, "password_file": str(directory / "secret")}
            more = {"ipport": port, "systems_uri": f"/redfish/v1/Systems/{HOST}"}
            yield {"agent": "/usr/sbin/fence_redfish", "options": {**login, **more}}

    def test_nobody_there(self, fence: dict[str, Any]) -> None:
        with pytest.raises(HostUnreachable, match=HOST):
            fences(fence, ipport=9, ssl_insecure=True).power(HOST)

    def test_its_certificate_is_checked(
        self, fence: dict[str, Any], directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(HostUnreachable):
            fences(fence).power(HOST)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(directory / "bmc.crt"))
        assert fences(fence).power(HOST) == "on"

    def test_an_order_that_timed_out_had_yet_worked(
        self,
        fence: dict[str, Any],
        directory: Path,
        living: LivingDesk,  # noqa: F811
    ) -> None:
        """The agent gives up after a second; the controller switches when it does; it is read, not judged by that."""
        impatient = {**fence["options"], "ssl_insecure": True, "power_timeout": 1}
        with pytest.raises(AnswerLost, match="it may have worked yet"):
            fences(fence, ssl_insecure=True, power_timeout=1).switch(HOST, "off")
        settings = living.path("inventory.yaml")
        text = {"hosts": {HOST: {"fence": {**fence, "options": impatient}}}}
        Path(settings).write_text(yaml.safe_dump(text), encoding="utf-8")
        living.settings(inventory=settings, settle=15)
        living.crashes(HOST)
        ended = living.do("evacuate-host", HOST, consent="disk", fence_timeout=60)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert fences(fence, ssl_insecure=True).power(HOST) == "off"
        assert SECRET not in living.stackmend("report", "last", "-f", "json").out
