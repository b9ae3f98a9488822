"""relocate-host: rows, the record of the move, placement, ports and volumes, all on the target, each once."""

import json
from collections import Counter
from pathlib import Path

import pytest
from desk import assert_refused
from living import MakeLiving
from relocation import EMPTY, HOST, MOVED, TO, DatabaseDesk, dying, dying_desk  # noqa: F401
from waiting import until

from stackmend.lab.control import SimulatedCloud

CONNECTOR = {"ip": "127.0.0.1", "initiator": "fake", "host": EMPTY}


def relocated(desk: DatabaseDesk, *words: str, **parameters: object) -> None:
    """The servers were moved, all of them."""
    ended = desk.relocate(*words, **parameters)
    assert (ended.code, ended.data["state"]) == (0, "done"), ended.err


def interrupted(desk: DatabaseDesk, **fault: object) -> None:
    """A relocation of one server that a refusal has stopped."""
    desk.cloud.fault("status", status=409, **fault)
    ended = desk.relocate("--server", "db", consent=[])
    assert (ended.code, ended.data["state"]) == (3, "done-with-exceptions"), ended.err
    desk.cloud.clear_faults()


class TestWhole:
    """The whole of it."""

    def test_everything_of_a_server_is_on_the_target(self, dying: DatabaseDesk) -> None:  # noqa: F811
        relocated(dying)
        assert dying.places() == {
            **dict.fromkeys(("db", "web", "disk", "peer"), (TO, "active")),
            "idle": (TO, "stopped"),
        }
        nodes = {row["host"]: (row["hypervisor_hostname"], row["id"]) for row in dying.table("nova", "compute_nodes")}
        rows = {(row["node"], row["compute_id"]) for row in dying.table("nova", "instances")}
        assert rows == {nodes[TO]}
        assert dying.attached() == {"db": [TO] * 2, "web": [TO] * 2, "idle": [TO], "peer": [TO] * 2}
        assert set(dying.bound().values()) == {(TO, "ovs")}
        assert set(map(tuple, dying.held().values())) == {(TO,)}
        assert {row["status"] for row in dying.table("cinder", "volumes")} == {"in-use"}
        known = {row["id"] for row in dying.table("cinder", "volume_attachment") if not row["deleted"]}
        assert {row["attachment_id"] for row in dying.mapped()} == known

    def test_each_guest_runs_once_and_only_those_that_ran(self, dying: DatabaseDesk) -> None:  # noqa: F811
        relocated(dying)
        assert dying.guests() == {(name, TO) for name in ("db", "web", "disk", "peer")}
        assert dying.counted("server.reboot") == ["db", "disk", "web"]

    def test_in_order(self, dying: DatabaseDesk) -> None:  # noqa: F811
        relocated(dying)
        booted = [effect["target"] for effect in dying.cloud.journal("guest.boot")]
        assert booted.index(dying.servers["db"]) < booted.index(dying.servers["web"])

    def test_the_returning_host_gives_its_copies_up(self, dying: DatabaseDesk) -> None:  # noqa: F811
        relocated(dying)
        assert dying.records() == dict.fromkeys(MOVED, "done")
        with pytest.raises(Exception, match="Unable to force up"):
            dying.switch(HOST, forced_down=False)
        dying.cloud.host(HOST, "power-on")
        until(lambda: set(dying.records().values()) == {"completed"}, "its copies are given up")
        dying.switch(HOST, forced_down=False)
        assert dying.guests() == {(name, TO) for name in ("db", "web", "disk", "peer")}

    def test_host_return_lets_the_host_in_again(self, dying: DatabaseDesk) -> None:  # noqa: F811
        relocated(dying)
        dying.cloud.host(HOST, "power-on")
        ended = dying.do("host-return", HOST, compute_timeout=15)
        assert (ended.code, dying.service(HOST)["forced_down"]) == (0, 0), ended.err
        assert dying.guests() == {(name, TO) for name in ("db", "web", "disk", "peer")}

    def test_the_plan_is_what_is_sent(self, dying: DatabaseDesk) -> None:  # noqa: F811
        plan = dying.planned("relocate-host", HOST, "--consent", "disk", to=TO)
        steps = [step for lane in plan["lanes"] for step in lane["steps"] if step["when"] == "always"]
        told = [effect for step in steps for effect in step["effects"]]
        relocated(dying)
        calls = Counter((effect["method"], effect["path"].split("/{")[0]) for effect in told if "method" in effect)
        sent = Counter((method, path) for _, method, path in dying.calls())
        for (method, path), times in calls.items():
            there = sum(n for (verb, url), n in sent.items() if verb == method and path in url)
            assert there >= times, (method, path)
        rows = Counter((effect["database"], effect["table"]) for effect in told if "table" in effect)
        assert rows == Counter((e["database"], e["table"]) for e in dying.cloud.journal("sql."))

    def test_one_server_as_ec2_called_it(self, dying: DatabaseDesk) -> None:  # noqa: F811
        (row,) = (row for row in dying.table("nova", "instances") if row["uuid"] == dying.servers["idle"])
        relocated(dying, "--server", f"i-{row['id']:08x}", consent=[])
        assert {name for name, (host, _) in dying.places().items() if host == TO} == {"idle", "peer"}

    def test_the_connector_of_a_host_that_has_no_volumes(self, dying: DatabaseDesk) -> None:  # noqa: F811
        file = Path(dying.path("connector.json"))
        file.write_text(json.dumps(CONNECTOR), encoding="utf-8")
        relocated(dying, connector=str(file), to=EMPTY)
        assert {name: set(hosts) for name, hosts in dying.attached().items() if name != "peer"} == {
            name: {EMPTY} for name in ("db", "web", "idle")
        }

    def test_attachments_of_which_cinder_kept_no_mode(self, dying: DatabaseDesk) -> None:  # noqa: F811
        """It keeps the word null where none was said, and takes it from nobody."""
        dying.execute("cinder", "UPDATE volume_attachment SET attach_mode = 'null'")
        relocated(dying)
        rows = [
            row for row in dying.table("cinder", "volume_attachment") if row["instance_uuid"] == dying.servers["db"]
        ]
        assert [row["attach_mode"] for row in rows if not row["deleted"]] == ["rw", "rw"]

    def test_passwords_of_connections_stay_where_they_belong(
        self, simulated: SimulatedCloud, make_living: MakeLiving
    ) -> None:
        desk = dying_desk(make_living)
        simulated.settings(chap_password="s3cr3t-of-chap")
        ended = desk.relocate()
        report = desk.stackmend("report", "move", "-f", "json")
        assert ended.code == 0, ended.err
        assert all("s3cr3t-of-chap" in row["connection_info"] for row in desk.mapped() if desk.moved(row))
        said = ended.out + ended.err + report.out + desk.stackmend("show", "move", "-f", "json").out
        assert "s3cr3t-of-chap" not in said
        assert all(b"s3cr3t-of-chap" not in file.read_bytes() for file in desk.directory.glob("runs.sqlite*"))


class TestBack:
    """Before the reboot everything can be taken back."""

    def test_all_is_as_it_was(self, dying: DatabaseDesk) -> None:  # noqa: F811
        before = dying.places(), dying.attached(), dying.held(), dying.mapped()
        interrupted(dying, service="compute", body="reboot")
        assert dying.places()["db"][0] == TO
        ended = dying.stackmend("revert", "move", "-f", "json")
        assert (ended.code, ended.data["state"]) == (0, "reverted"), ended.err
        assert (dying.places(), dying.attached(), dying.held(), dying.mapped()) == before
        assert dying.records() == {}
        # Its agent is dead: neutron binds nothing to it, and the report says so.
        assert dying.bound()["db"] == (HOST, "binding_failed")
        assert "until the L2 agent" in dying.stackmend("report", "move", "-f", "json").out

    def test_not_after_the_reboot(self, dying: DatabaseDesk) -> None:  # noqa: F811
        relocated(dying)
        ended = dying.stackmend("revert", "move")
        assert ended.code != 0
        assert "can't be taken back" in ended.err
        assert dying.places()["db"][0] == TO

    def test_not_what_the_returned_host_has_acted_on(self, dying: DatabaseDesk) -> None:  # noqa: F811
        interrupted(dying, service="compute", body="reboot")
        dying.cloud.host(HOST, "power-on")
        until(lambda: dying.records() == {"db": "completed"}, "its copy is given up")
        ended = dying.stackmend("revert", "move")
        assert (ended.code, "has returned and destroyed its copy" in ended.err) == (4, True), ended.err

    def test_not_over_somebody_elses_work(self, dying: DatabaseDesk) -> None:  # noqa: F811
        interrupted(dying, service="compute", body="reboot")
        dying.ask("PUT", f"/ports/{dying.ports['db']}", {"port": {"binding:host_id": EMPTY}}, service="network")
        ended = dying.stackmend("revert", "move")
        assert (ended.code, "somebody else did that" in ended.err) == (4, True), ended.err


FIRST = "SELECT id FROM instances WHERE display_name = 'db'"
SERVER = "SELECT uuid FROM instances WHERE display_name = 'db'"


class TestVerdicts:
    """What nova would refuse is refused."""

    @pytest.mark.parametrize(
        ("statement", "said"),
        [
            (f"INSERT INTO pci_devices (address, instance_uuid, deleted) SELECT '0000:81:00.1', ({SERVER}), 0", "PCI"),
            (
                f"INSERT INTO instance_extra (instance_uuid, numa_topology, deleted) SELECT ({SERVER}), '{{}}', 0",
                "NUMA",
            ),
            ("UPDATE instances SET task_state = 'powering-off' WHERE display_name = 'db'", "nova is powering-off it"),
            ("UPDATE instances SET vm_state = 'paused' WHERE display_name = 'db'", "it is paused"),
            ("UPDATE instances SET host = 'sim-c03', node = 'sim-c03' WHERE display_name = 'db'", "it is on sim-c03"),
            ("UPDATE instances SET node = 'ironic-7' WHERE display_name = 'db'", "it is on node ironic-7"),
            ("UPDATE block_device_mapping SET attachment_id = 'other' WHERE tag = 'data'", "nova and cinder disagree"),
        ],
    )
    def test_by_novas_rows(self, dying: DatabaseDesk, statement: str, said: str) -> None:  # noqa: F811
        dying.execute("nova", statement)
        verdict, why = dying.verdict("db", "--server", "db")
        assert (verdict, said in why) == ("impossible", True), why

    def test_an_inactive_binding_in_the_way_is_named(self, dying: DatabaseDesk) -> None:  # noqa: F811
        statement = "INSERT INTO ml2_port_bindings VALUES (?, ?, 'ovs', 'normal', '', '', 'INACTIVE')"
        dying.execute("neutron", statement, dying.ports["db"], TO)
        verdict, why = dying.verdict("db")
        assert (verdict, dying.ports["db"] in why, "INACTIVE binding on sim-c02" in why) == ("impossible", True, True)

    def test_a_volume_in_other_hands(self, dying: DatabaseDesk) -> None:  # noqa: F811
        dying.cloud.damage("volume-maintenance", dying.volumes["db-data"])
        assert dying.verdict("db")[0] == "impossible"

    def test_an_attachment_that_nova_does_not_know(self, dying: DatabaseDesk) -> None:  # noqa: F811
        given = {"volume_uuid": dying.volumes["db-data"], "instance_uuid": dying.servers["db"]}
        dying.ask("POST", "/attachments", {"attachment": given}, service="block-storage", at="3.27")
        assert "that nova does not know" in dying.verdict("db")[1]

    def test_no_connector(self, dying: DatabaseDesk) -> None:  # noqa: F811
        assert "nothing says how sim-c03 connects volumes" in dying.verdict("db", to=EMPTY)[1]
        assert dying.verdict("disk", to=EMPTY, consent="disk")[0] == "ready"

    def test_a_local_disk(self, dying: DatabaseDesk) -> None:  # noqa: F811
        assert dying.verdict("disk")[0] == "needs-consent"
        assert dying.verdict("disk", shared_disks="true")[0] == "ready"

    def test_a_target_whose_agent_is_dead(self, dying: DatabaseDesk) -> None:  # noqa: F811
        dying.execute("neutron", "UPDATE agents SET heartbeat_timestamp = '2020-01-01 00:00:00' WHERE host = ?", TO)
        dying.cloud.host(TO, "kill", "neutron-openvswitch-agent")
        assert "no network agent of sim-c02 is alive" in dying.verdict("db")[1]

    def test_members_of_one_group(self, make_living: MakeLiving) -> None:
        servers = [{"name": f"m{n}", "host": HOST, "root": "volume", "group": "g=anti-affinity"} for n in range(2)]
        peer = {"name": "peer", "host": TO, "root": "volume"}
        desk = dying_desk(make_living, servers=[*servers, peer])
        assert (desk.verdict("m0")[0], desk.verdict("m1")[0]) == ("ready", "impossible")

    def test_what_an_image_asks_for(self, make_living: MakeLiving) -> None:
        images = {"tpm": {"hw_tpm_version": "2.0"}, "pinned": {"hw_cpu_policy": "dedicated"}, "pc": {}}
        servers = [
            {"name": name, "host": HOST, "root": "volume", "image_properties": of} for name, of in images.items()
        ]
        peer = {"name": "peer", "host": TO, "root": "volume"}
        desk = dying_desk(make_living, servers=[*servers, peer])
        assert [desk.verdict(name)[0] for name in images] == ["impossible", "impossible", "ready"]
        assert [desk.verdict(name)[1].split(":")[0] for name in ("tpm", "pinned")] == [
            "it has a virtual TPM, whose secrets are on the old host",
            "it has pinned CPUs",
        ]

    def test_no_room(self, dying: DatabaseDesk) -> None:  # noqa: F811
        found = dying.ask("GET", f"/allocations/{dying.servers['peer']}", service="placement", at="1.28")
        (provider,) = found["allocations"]
        free = dying.planned("relocate-host", HOST, to=TO)["capture"]["free"][TO]
        # Enough is left for three of them.
        taken = {"VCPU": 1, "MEMORY_MB": free["MEMORY_MB"] + 512 - 3 * 512}
        body = {**found, "allocations": {provider: {"resources": taken}}}
        dying.ask("PUT", f"/allocations/{dying.servers['peer']}", body, service="placement", at="1.28")
        plan = dying.planned("relocate-host", HOST, to=TO, consent="disk")
        whys = {item["title"]: item["why"] for item in plan["verdicts"] if item["verdict"] == "impossible"}
        assert {name: "no room on the target" in why for name, why in whys.items()} == {"web": True}


class TestBadInput:
    """One sentence, and nothing is done."""

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((HOST,), "say --to HOST"),
            ((HOST, "--to", HOST), "can't go to sim-c01"),
            ((HOST, "--to", "nowhere"), "can't go to nowhere"),
            (("nowhere", "--to", TO), "no compute host nowhere"),
            ((HOST, "--to", TO, "--server", "nobody"), "there is no server nobody"),
            ((HOST, "--to", TO, "--exclude", "i-0000ffff"), "there is no server i-0000ffff"),
            ((HOST, "--to", TO, "--consent", "dbb"), "there is no server dbb"),
            ((HOST, "--to", TO, "--connector", "/nowhere.json"), "can't be read"),
        ],
    )
    def test_in_the_command(self, dying: DatabaseDesk, words: tuple[str, ...], said: str) -> None:  # noqa: F811
        assert_refused(dying, dying.stackmend("run", "relocate-host", *words, "--yes"), 2, said)

    def test_without_databases(self, dying: DatabaseDesk) -> None:  # noqa: F811
        words = ("run", "relocate-host", HOST, "--to", TO, "--yes")
        found = dying.cloud.description["databases"]
        dying.settings(databases={})
        assert_refused(dying, dying.stackmend(*words), 2, "--sql nova=")
        assert_refused(
            dying, dying.stackmend(*words, "--sql", f"nova={found['nova']}"), 2, "--sql cinder=", "--connector"
        )

    def test_another_hosts_connector(self, dying: DatabaseDesk) -> None:  # noqa: F811
        file = Path(dying.path("connector.json"))
        for text, said in (
            (json.dumps(CONNECTOR), "is not sim-c02's"),
            ("{", "is not JSON"),
            ("[]", "is not sim-c02's"),
        ):
            file.write_text(text, encoding="utf-8")
            words = ("plan", "relocate-host", HOST, "--to", TO, "--connector", str(file))
            assert_refused(dying, dying.stackmend(*words), 2, said)

    def test_another_cells_database(self, dying: DatabaseDesk) -> None:  # noqa: F811
        dying.execute("nova", "UPDATE compute_nodes SET deleted = id WHERE host = ?", TO)
        dying.cloud.clear_journal()
        words = ("plan", "relocate-host", HOST, "--to", TO)
        assert_refused(dying, dying.stackmend(*words), 2, "no server can cross cells")

    def test_a_target_that_is_down_or_closed(self, dying: DatabaseDesk) -> None:  # noqa: F811
        dying.switch(TO, status="disabled")
        dying.dies(EMPTY)
        dying.cloud.clear_journal()
        for to, said in ((TO, "up and disabled"), (EMPTY, "down and enabled")):
            words = ("plan", "relocate-host", HOST, "--to", to)
            assert_refused(dying, dying.stackmend(*words), 2, said)

    def test_without_a_fence(self, dying: DatabaseDesk) -> None:  # noqa: F811
        dying.settings(inventory="")
        words = ("plan", "relocate-host", HOST, "--to", TO)
        assert_refused(dying, dying.stackmend(*words), 2, "say --fenced")
