"""All doors of one cloud, against the simulated cloud: reads, effects, rows, machines."""

import json
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import openstack
import pytest

from stackmend.clients import reads
from stackmend.clients.cloud import ApiCall, Cloud, Timeouts, new_request_id
from stackmend.clients.database import Database, RowChange, database_url_from_conf
from stackmend.clients.ssh import Command, Dropped, LoginRefused, Ssh, SshSettings
from stackmend.errors import AnswerLost, BadInput, Unauthorized, Unreachable
from stackmend.lab.control import SimulatedCloud


@pytest.fixture(scope="module")
def simulated() -> Iterator[SimulatedCloud]:
    """One process for the module, with the demo's servers."""
    with SimulatedCloud() as one:
        one.seed(canned="demo")
        one.snapshot("start")
        yield one


@pytest.fixture
def lab(simulated: SimulatedCloud) -> SimulatedCloud:
    """The demo as it was at the start."""
    simulated.clear_faults()
    simulated.restore("start")
    return simulated


@pytest.fixture
def cloud(lab: SimulatedCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The admin's door."""
    for name, value in lab.environment().items():
        monkeypatch.setenv(name, value)
    one = Cloud.connect("sim", timeouts=Timeouts(connect=2, read=2, patience=5))
    yield one
    one.close()


@pytest.fixture
def servers(cloud: Cloud) -> dict[str, Any]:
    """The demo's servers by name."""
    return {row["name"]: row for row in reads.servers(cloud)}


def effects(lab: SimulatedCloud, kind: str) -> int:
    return len(lab.journal(kind))


def reboot(server_id: str) -> ApiCall:
    return ApiCall("compute", "POST", f"/servers/{server_id}/action", {"reboot": {"type": "HARD"}}, "2.79")


class TestReads:
    def test_servers_by_host_and_since(self, cloud: Cloud, servers: dict[str, Any]) -> None:
        host = next(iter(servers.values()))["OS-EXT-SRV-ATTR:host"]
        here = [row["name"] for row in servers.values() if row["OS-EXT-SRV-ATTR:host"] == host]
        assert 0 < len(here) < len(servers) == 9
        assert sorted(row["name"] for row in reads.servers(cloud, host=host)) == sorted(here)
        later = datetime.now(UTC) + timedelta(hours=1)
        assert not list(reads.servers(cloud, changes_since=later))
        assert not any("user_data" in name for row in servers.values() for name in row)

    def test_one_server(self, cloud: Cloud, servers: dict[str, Any]) -> None:
        row = next(iter(servers.values()))
        found = reads.server(cloud, row["id"])
        assert found is not None
        assert found["name"] == row["name"]
        assert reads.server(cloud, "00000000-0000-0000-0000-000000000000") is None

    def test_lists_are_read_to_their_end(self, cloud: Cloud, servers: dict[str, Any]) -> None:
        assert len(list(cloud.pages("compute", "/servers", "servers", {"all_tenants": "1", "limit": 2}))) == 9

    def test_nova_and_cinder_agree_on_attachments(self, cloud: Cloud, servers: dict[str, Any]) -> None:
        by_nova = {
            attached["attachment_id"]
            for row in servers.values()
            for attached in reads.server_attachments(cloud, row["id"])
        }
        assert by_nova
        assert by_nova == {row["id"] for row in reads.attachments(cloud)}
        volumes = {row["id"]: row for row in reads.volumes(cloud)}
        assert {row["volume_id"] for row in reads.attachments(cloud)} <= set(volumes)
        assert reads.volume(cloud, next(iter(volumes))) is not None
        assert reads.volume(cloud, "none") is None

    def test_passwords_of_attachments_are_masked(self, cloud: Cloud, lab: SimulatedCloud) -> None:
        database = Database("cinder", database_url_from_conf(lab.directory / "cinder.conf"))
        row = database.rows("volume_attachment", {}, ["id"])[0]
        info = json.dumps({"driver_volume_type": "iscsi", "auth_password": "chap-pw9", "auth_method": "CHAP"})
        database.change([RowChange("cinder", "volume_attachment", {"id": row["id"]}, {"connection_info": info})])
        database.close()
        text = json.dumps(list(reads.attachments(cloud)))
        assert "CHAP" in text
        assert "chap-pw9" not in text

    def test_actions_are_found_by_the_request_id_of_the_answer(self, cloud: Cloud, servers: dict[str, Any]) -> None:
        server_id = servers["web-1"]["id"]
        answer = cloud.send(reboot(server_id), new_request_id("run", "server.reboot", 1))
        action = reads.server_action(cloud, server_id, answer.request_id)
        assert action is not None
        assert action["action"] == "reboot"
        assert answer.request_id in [row["request_id"] for row in reads.server_actions(cloud, server_id)]
        assert reads.server_action(cloud, server_id, "req-00000000-0000-0000-0000-000000000000") is None

    @pytest.mark.parametrize(
        "read",
        [
            reads.compute_services,
            reads.hypervisors,
            reads.volume_services,
            reads.ports,
            reads.network_agents,
            reads.projects,
        ],
    )
    def test_other_lists_hold_something(self, cloud: Cloud, read: Any) -> None:
        assert all("id" in row or "binary" in row for row in read(cloud))
        assert list(read(cloud))

    def test_lists_that_may_be_empty(self, cloud: Cloud) -> None:
        assert isinstance(reads.server_groups(cloud), list)
        assert isinstance(list(reads.migrations(cloud)), list)

    def test_since_an_hour_ahead_nothing_changed(self, cloud: Cloud) -> None:
        later = datetime.now(UTC) + timedelta(hours=1)
        assert not list(reads.volumes(cloud, updated_since=later))

    def test_allocations(self, cloud: Cloud, servers: dict[str, Any]) -> None:
        assert len(reads.allocations(cloud, servers["web-1"]["id"])["allocations"]) == 1

    @pytest.mark.parametrize(
        "text",
        ["2026-11-21T07:00:00Z", "2026-11-21T07:00:00.000000", "2026-11-21 07:00:00", "2026-11-21T08:00:00+01:00"],
    )
    def test_times(self, text: str) -> None:
        assert reads.openstack_time(text) == datetime(2026, 11, 21, 7, tzinfo=UTC)

    def test_no_time_and_nonsense(self) -> None:
        assert reads.openstack_time(None) is None
        with pytest.raises(BadInput, match="'soon' is not a time"):
            reads.openstack_time("soon")


class TestEffects:
    @pytest.mark.parametrize(("kind", "happened"), [("cut-after", 1), ("cut-before", 0)])
    def test_an_effect_is_never_had_twice(
        self, lab: SimulatedCloud, cloud: Cloud, servers: dict[str, Any], kind: str, happened: int
    ) -> None:
        lab.fault(kind, service="compute", method="POST", times=1)
        with pytest.raises(AnswerLost):
            cloud.send(reboot(servers["web-1"]["id"]), new_request_id("run", kind, 1))
        assert effects(lab, "server.reboot") == happened

    def test_both_request_ids_are_in_the_clouds_own_record(
        self, lab: SimulatedCloud, cloud: Cloud, servers: dict[str, Any]
    ) -> None:
        ours = new_request_id("run", "server.reboot", 1)
        answer = cloud.send(reboot(servers["web-1"]["id"]), ours)
        (effect,) = lab.journal("server.reboot")
        assert ours in json.dumps(effect)
        assert answer.request_id in json.dumps(effect)

    def test_a_busy_service_is_asked_again_and_does_it_once(
        self, lab: SimulatedCloud, cloud: Cloud, servers: dict[str, Any]
    ) -> None:
        lab.fault("status", status=503, service="compute", method="POST", times=2, headers={"Retry-After": "0"})
        cloud.send(reboot(servers["web-1"]["id"]), new_request_id("run", "x", 1))
        assert effects(lab, "server.reboot") == 1

    def test_tokens_that_expire(self, lab: SimulatedCloud, cloud: Cloud, servers: dict[str, Any]) -> None:
        lab.expire_tokens()
        cloud.send(reboot(servers["web-1"]["id"]), new_request_id("run", "x", 1))
        assert effects(lab, "server.reboot") == 1

    def test_a_closed_port(self, lab: SimulatedCloud, cloud: Cloud, servers: dict[str, Any]) -> None:
        lab.service("compute", up=False)
        try:
            with pytest.raises(Unreachable):
                cloud.send(reboot(servers["web-1"]["id"]), new_request_id("run", "x", 1))
        finally:
            lab.service("compute", up=True)
        assert effects(lab, "server.reboot") == 0

    def test_a_member_is_told_which_right_is_missing(self, lab: SimulatedCloud, cloud: Cloud) -> None:
        member = Cloud.connect("sim-member")
        with pytest.raises(Unauthorized, match=r"GET compute /os-services .* role"):
            reads.compute_services(member)
        assert member.identity.fingerprint == cloud.identity.fingerprint
        member.close()

    def test_the_connection_of_the_openstack_client(self, cloud: Cloud) -> None:
        with warnings.catch_warnings():
            # openstacksdk warns about parts of itself.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            connection = openstack.connect(cloud="sim")
        own = Cloud.from_connection(connection)
        assert own.identity == cloud.identity
        assert len(list(reads.servers(own))) == 9
        connection.close()


class TestRowsAndMachines:
    def test_a_row_change_shows_in_the_api_at_once(self, lab: SimulatedCloud, cloud: Cloud) -> None:
        volume = next(row for row in reads.volumes(cloud) if row["status"] == "in-use")
        database = Database("cinder", database_url_from_conf(lab.directory / "cinder.conf"))
        key = {"id": volume["id"]}
        database.change([RowChange("cinder", "volumes", key, {"status": "error"}, {"status": "in-use"})])
        database.close()
        found = reads.volume(cloud, volume["id"])
        assert found is not None
        assert found["status"] == "error"
        assert effects(lab, "sql.update") == 1

    def test_a_guest(self, lab: SimulatedCloud, cloud: Cloud) -> None:
        guest = next(row for row in reads.servers(cloud) if row["metadata"].get("stackmend:ssh-reboot"))
        address = next(iter(guest["addresses"].values()))[0]["addr"]
        ssh_files = lab.directory / "ssh"
        settings = SshSettings(
            user="debian",
            port=lab.description["ssh_port"],
            key_files=(str(ssh_files / "id_ed25519"),),
            known_hosts=(str(ssh_files / "known_hosts"),),
            agent=False,
            patience=1,
        )
        ssh, look = Ssh(settings), Command(address, "cat /proc/sys/kernel/random/boot_id")
        assert ssh.answers(address)
        assert len(ssh.run(look).stdout.strip()) == 36
        with pytest.raises(Dropped):
            ssh.run(Command(address, "shutdown -r now", sudo=True))
        assert effects(lab, "guest.reboot") == 1
        lab.ssh(guest["id"], new_host_key=True)
        with pytest.raises(LoginRefused):
            Ssh(settings).run(look)
