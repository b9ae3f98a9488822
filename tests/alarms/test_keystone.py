"""Sources that prove themselves by keystone's tokens: the simulated keystone gives them, keystonemiddleware asks it."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from listening import EVACUATE, Listening
from openstack import exceptions
from openstack.config.loader import OpenStackConfig
from openstack.connection import Connection

from stackmend.alarms.keystone import Keystone
from stackmend.alarms.ledger import NOTED, STARTED
from stackmend.errors import BadInput
from stackmend.lab.control import SimulatedCloud

# openstacksdk warns of its own ways, whatever is done with it.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
RULE = {**EVACUATE, "source": "masakari", "match": {"name": "COMPUTE_HOST", "label.host_status": "NORMAL"}}
STOPPED = {"event": "STOPPED", "cluster_status": "OFFLINE", "host_status": "NORMAL"}
MORNING = datetime(2026, 11, 21, 10, 0, 0, 250, tzinfo=UTC).replace(tzinfo=None)
Connect = Callable[[str], Connection]


@pytest.fixture
def authtoken(simulated: SimulatedCloud, tmp_path: Path) -> str:
    """A service's own file, as every OpenStack service has it."""
    clouds = yaml.safe_load(Path(simulated.description["clouds_yaml"]).read_text(encoding="utf-8"))
    auth = clouds["clouds"]["sim"]["auth"]
    lines = [f"{name} = {value}" for name, value in auth.items()]
    told = ["[keystone_authtoken]", "auth_type = password", f"www_authenticate_uri = {auth['auth_url']}", *lines]
    (tmp_path / "keystone.conf").write_text("\n".join(told), encoding="utf-8")
    return str(tmp_path / "keystone.conf")


@pytest.fixture
def listen(tmp_path: Path, authtoken: str) -> Callable[..., Listening]:
    def listening(*roles: str) -> Listening:
        trust = {name: {"keystone": list(roles)} for name in ("masakari", "aodh")}
        return Listening(tmp_path, [RULE], sources=trust, keystone=authtoken)

    return listening


@pytest.fixture
def monitor(simulated: SimulatedCloud) -> Iterator[Connect]:
    """What masakari-monitors have: an SDK's connection, here to the listener at an address."""
    opened: list[Connection] = []

    def connect(address: str) -> Connection:
        with warnings.catch_warnings():
            # openstacksdk warns of its own influxdb default, whatever the configuration.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            config = OpenStackConfig(config_files=[simulated.description["clouds_yaml"]], load_envvars=False)
            opened.append(Connection(config=config.get_one("sim", instance_ha_endpoint_override=address)))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("path", ["/v1", "/v1/0123456789abcdef"])
def test_masakari_monitors_post_here_as_they_do_to_masakari(
    listen: Callable[..., Listening], monitor: Connect, path: str
) -> None:
    with listen("admin") as listening:
        masakari = monitor(f"http://127.0.0.1:{listening.port}{path}").instance_ha
        told: dict[str, Any] = {"type": "COMPUTE_HOST", "hostname": "c01"}
        answer = masakari.create_notification(**told, generated_time=MORNING, payload=STOPPED)
        assert (answer.type, answer.hostname, answer.status, answer.payload) == ("COMPUTE_HOST", "c01", "new", STOPPED)
        assert listening.ledger.find(answer.notification_uuid).host == "c01"
        assert listening.verdicts() == [STARTED]
        # A monitor that missed the answer sends the same again, and takes 409 for an answer.
        with pytest.raises(exceptions.ConflictException, match="stored already"):
            masakari.create_notification(**told, generated_time=MORNING, payload=STOPPED)
        masakari.create_notification(
            **told, generated_time=datetime(2026, 11, 21, 10, 5), payload={**STOPPED, "event": "STARTED"}
        )
        assert listening.verdicts() == [STARTED, NOTED]


def test_a_notification_that_is_no_text_in_utf8_is_answered(tmp_path: Path) -> None:
    told = {"type": "COMPUTE_HOST", "hostname": "\ud800", "generated_time": "2026-11-21 10:00:00", "payload": STOPPED}
    with Listening(tmp_path, [RULE], sources={"masakari": {"token": str(tmp_path / "secret")}}) as listening:
        status, answer = listening.post("/v1/notifications", {"notification": told})
        assert (status, answer["notification"]["hostname"]) == (202, "\ud800")
        assert listening.ledger.find("1").host == "\ufffd"


def test_a_token_needs_one_of_the_roles(listen: Callable[..., Listening], monitor: Connect) -> None:
    with listen("nobody", "masakari-monitor") as listening:
        masakari = monitor(f"http://127.0.0.1:{listening.port}/v1").instance_ha
        with pytest.raises(exceptions.ForbiddenException, match="none of the roles masakari-monitor, nobody"):
            masakari.create_notification(type="VM", hostname="c01", generated_time=MORNING, payload={})


def test_a_token_that_is_none_is_refused(listen: Callable[..., Listening]) -> None:
    with listen("admin") as listening:
        for headers in ({}, {"X-Auth-Token": "gAAAAnone"}, {"X-Roles": "admin", "X-Identity-Status": "Confirmed"}):
            assert listening.post("/v1/aodh", {}, headers)[0] == 401


def test_while_keystone_is_away_nobody_is_trusted_and_the_sender_is_told_to_try_again(
    simulated: SimulatedCloud, listen: Callable[..., Listening]
) -> None:
    with listen("admin") as listening:
        simulated.service("identity", up=False)
        try:
            status, answer = listening.post("/v1/aodh", {}, {"X-Auth-Token": "gAAAAnone"})
        finally:
            simulated.service("identity", up=True)
        assert (status, answer["error"]["message"]) == (503, "keystone can't be asked about its token now")


def test_a_token_is_asked_about_once_for_a_while(simulated: SimulatedCloud, authtoken: str, monitor: Connect) -> None:
    with closing(monitor("http://127.0.0.1:1/v1")) as connection:
        token = connection.session.get_token()
    keystone = Keystone(authtoken)
    simulated.clear_journal()
    for _ in range(20):
        assert "admin" in (keystone.roles(str(token)) or ())
    asked = [call for call in simulated.calls() if call["path"].endswith("/auth/tokens") and call["method"] == "GET"]
    assert len(asked) == 1


def test_a_file_without_a_section_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.conf").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match=r"empty.conf .* has no section \[keystone_authtoken\]"):
        Keystone(str(tmp_path / "empty.conf"))
