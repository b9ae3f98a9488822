"""A compute host dies: its servers come back elsewhere, once each, in order, and it is kept away."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from desk import verdicts
from living import LivingDesk, MakeLiving
from waiting import until

HOST = "sim-c01"
ALL = {"disk", "db", "idle", "web"}


def evacuated(desk: LivingDesk, *words: str, **parameters: Any) -> dict[str, Any]:
    """The host was evacuated, all of it; the run's status."""
    ended = desk.do("evacuate-host", HOST, *words, **{"consent": "disk", **parameters})
    assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
    found: dict[str, Any] = ended.data
    return found


def evidence(desk: LivingDesk, slug: str) -> dict[str, Any]:
    """What the run's first step of this kind proved."""
    lanes = desk.stackmend("report", "last", "-f", "json").data["lanes"]
    return next(
        dict(step["evidence"]) for lane in lanes for step in lane["steps"] if step["name"].startswith(f"{slug}:")
    )


class TestWhole:
    """The whole of it."""

    def test_all_come_back_and_the_host_is_held(self, living: LivingDesk) -> None:
        living.crashes(HOST)
        evacuated(living)
        assert living.cloud.state()["hosts"][HOST]["powered"] == 0
        places = living.places()
        assert {name: state for name, (_, state) in places.items()} == {
            **dict.fromkeys(("db", "web", "disk", "peer"), "active"),
            "idle": "stopped",
        }
        assert HOST not in {host for host, _ in places.values()}
        assert Counter(name for name, _ in living.guests()) == Counter(["db", "web", "disk", "peer"])
        assert living.counted("server.evacuate") == sorted(ALL)
        # Nova starts what it evacuates, but not what comes after others.
        assert living.counted("server.start") == ["web"]
        service = living.service(HOST)
        assert (service["disabled"], service["forced_down"]) == (1, 1)
        assert service["disabled_reason"].startswith("stackmend: evacuate-host ")
        held = evidence(living, "host.held")
        assert (held["evacuations_under_way"], held["servers_left"]) == ([], [])
        assert set(held["allocations_left"]) == {living.servers[name] for name in ALL}

    def test_options_may_stand_before_the_host(self, living: LivingDesk) -> None:
        living.dies(HOST)
        found = living.stackmend("plan", "evacuate-host", "--to", "sim-c02", HOST, "--consent", "disk", "-f", "json")
        assert found.code == 0, found.err
        assert (found.data["parameters"]["host"], found.data["parameters"]["to"]) == (HOST, "sim-c02")

    def test_volumes_and_ports_are_where_the_server_is(self, living: LivingDesk) -> None:
        living.dies(HOST)
        evacuated(living)
        places = living.places()
        attached = {
            (row["instance_uuid"], row["volume_id"]): row["attached_host"]
            for row in living.table("cinder", "volume_attachment")
            if not row["deleted"]
        }
        for name in ("db", "web", "peer", "idle"):
            mine = [host for (server, _), host in attached.items() if server == living.servers[name]]
            assert set(mine) == {places[name][0]}, name
        assert len(attached) == 7
        bound = {row["port_id"]: row["host"] for row in living.table("neutron", "ml2_port_bindings")}
        assert {name: bound[living.ports[name]] for name in places} == {
            name: host for name, (host, _) in places.items()
        }

    def test_in_order(self, living: LivingDesk) -> None:
        living.dies(HOST)
        evacuated(living)
        booted = [(effect["target"], effect["how"]) for effect in living.cloud.journal("guest.boot")]
        db, web = living.servers["db"], living.servers["web"]
        assert booted.index((db, "evacuate")) < booted.index((web, "start"))
        assert [target for target, _ in booted].count(db) == 1

    def test_what_the_plan_says_is_what_is_sent(self, living: LivingDesk) -> None:
        living.dies(HOST)
        plan = living.planned("evacuate-host", HOST, consent="disk")
        told = [
            (effect["method"], effect["path"], effect["body"])
            for lane in plan["lanes"]
            for step in lane["steps"]
            for effect in step["effects"]
            if "method" in effect and step["when"] == "always"
        ]
        evacuated(living)
        sent = [(method, path.split("/v2.1")[1]) for service, method, path in living.calls() if service == "compute"]
        assert Counter(sent) == Counter((method, path) for method, path, _ in told)

    def test_no_server_is_read_one_by_one_while_it_waits(self, living: LivingDesk) -> None:
        living.dies(HOST)
        before = len(living.cloud.calls())
        evacuated(living)
        paths = [call["path"].rpartition("/")[2] for call in living.cloud.calls()[before:] if call["method"] == "GET"]
        assert not set(paths) & set(living.servers.values())

    def test_an_older_nova_starts_what_it_evacuates(self, living: LivingDesk) -> None:
        living.cloud.settings(compute_minor=94)
        living.cloud.damage("server-error", living.servers["disk"])
        living.execute("nova", "UPDATE instances SET power_state = 4 WHERE uuid = ?", living.servers["disk"])
        living.dies(HOST)
        evacuated(living)
        assert {name: state for name, (_, state) in living.places().items()} == {
            **dict.fromkeys(("db", "web", "peer"), "active"),
            **dict.fromkeys(("idle", "disk"), "stopped"),
        }
        assert living.counted("server.start") == []
        booted = [effect["target"] for effect in living.cloud.journal("guest.boot")]
        assert booted.index(living.servers["db"]) < booted.index(living.servers["web"])

    def test_a_server_in_error_that_ran_is_started_one_that_did_not_is_not(self, living: LivingDesk) -> None:
        for name, power in (("db", 1), ("disk", 4)):
            living.cloud.damage("server-error", living.servers[name])
            living.execute("nova", "UPDATE instances SET power_state = ? WHERE uuid = ?", power, living.servers[name])
        living.dies(HOST)
        evacuated(living)
        assert living.counted("server.start") == ["web"]
        assert {name: state for name, (_, state) in living.places().items() if name in ("db", "disk")} == {
            "db": "active",
            "disk": "stopped",
        }


class TestWhere:
    """To which hosts."""

    def test_to_a_host_by_name(self, living: LivingDesk) -> None:
        living.dies(HOST)
        evacuated(living, "--to", "sim-c02")
        assert {host for host, _ in living.places().values()} == {"sim-c02"}

    def test_a_reserved_host_is_enabled_for_it(self, living: LivingDesk) -> None:
        disable(living, "sim-c02", "in use elsewhere")
        disable(living, "sim-c03", "reserved")
        living.dies(HOST)
        evacuated(living, "--reserved", "sim-c03")
        assert {living.places()[name][0] for name in ALL} == {"sim-c03"}
        assert living.service("sim-c03")["disabled"] == 0

    def test_a_reserved_host_stays_shut_when_the_brake_holds(self, living: LivingDesk) -> None:
        disable(living, "sim-c03", "reserved")
        living.dies(HOST)
        living.dies("sim-c02")
        ended = living.do("evacuate-host", HOST, "--reserved", "sim-c03", consent="disk")
        assert (ended.code, "the brake holds" in ended.err) == (4, True)
        assert living.service("sim-c03")["disabled"] == 1

    def test_members_of_an_anti_affinity_group_never_share_a_host(self, make_living: MakeLiving) -> None:
        servers = [{"name": f"m{n}", "host": HOST, "root": "volume", "group": "g=anti-affinity"} for n in range(3)]
        living = make_living(hosts=4, servers=servers)
        living.dies(HOST)
        evacuated(living, consent=[])
        assert len({host for host, _ in living.places().values()}) == 3
        assert living.counted("server.evacuate") == ["m0", "m1", "m2"]

    def test_capacity_that_comes_back(self, living: LivingDesk) -> None:
        for host in ("sim-c02", "sim-c03"):
            disable(living, host, "full")
        living.dies(HOST)
        run = living.process("run", "evacuate-host", HOST, "-y", "--consent", "disk", "--pause", "0.5")
        until(lambda: len(living.cloud.journal("server.evacuate")) > 4, "some were sent again")
        living.switch("sim-c03", status="enabled")
        ended = living.ended(run)
        assert ended.code == 0, ended.err
        assert {living.places()[name][0] for name in ALL} == {"sim-c03"}

    def test_capacity_that_never_comes(self, living: LivingDesk) -> None:
        for host in ("sim-c02", "sim-c03"):
            disable(living, host, "full")
        living.dies(HOST)
        ended = living.do("evacuate-host", HOST, attempts=2, pause=0.05)
        assert (ended.code, ended.data["state"]) == (3, "done-with-exceptions")
        assert Counter(living.counted("server.evacuate")) == Counter({"db": 2, "web": 2, "idle": 2})
        assert any("sent 2 times" in why and "No valid host" in why for why in living.errors(ended))
        assert living.guests() == {("peer", "sim-c02")}
        living.switch("sim-c02", status="enabled")
        assert living.stackmend("retry", "last").code == 0
        assert {name: host for name, host in living.guests() if name != "peer"} == {"db": "sim-c02", "web": "sim-c02"}

    def test_a_rebuild_that_fails_is_sent_to_another_host(self, living: LivingDesk) -> None:
        # The scheduler's first choice, being the emptiest, until most are on their way there.
        living.cloud.settings(rebuilds_fail="sim-c03")
        living.dies(HOST)
        evacuated(living)
        assert {host for host, _ in living.places().values()} == {"sim-c02"}
        failed = [row["instance_uuid"] for row in living.table("nova", "migrations") if row["status"] == "failed"]
        sent = living.cloud.journal("server.evacuate")
        assert len(failed) >= 2
        assert {living.servers[name] for name in ALL} == {effect["target"] for effect in sent if not effect["dest"]}
        assert sorted(effect["target"] for effect in sent if effect["dest"] == "sim-c02") == sorted(failed)
        assert len(sent) == len(ALL) + len(failed)

    def test_nova_tells_why_a_while_after_it_has_failed(self, living: LivingDesk) -> None:
        living.cloud.settings(rebuilds_fail="sim-c02,sim-c03", settle_seconds=0.5)
        living.dies(HOST)
        ended = living.do("evacuate-host", HOST, attempts=2)
        assert (ended.code, ended.data["state"]) == (3, "done-with-exceptions")
        failed = [why for why in living.errors(ended) if "sent 2 times" in why]
        assert len(failed) == 3
        assert all("no space left on device" in why and "task None" in why for why in failed), failed


class TestOthers:
    """Who else is at work."""

    def test_an_evacuation_that_somebody_else_began_is_adopted(self, living: LivingDesk) -> None:
        living.cloud.settings(evacuate_seconds=1.0)
        living.dies(HOST)
        plan = living.path("plan.json")
        assert living.stackmend("plan", "evacuate-host", HOST, "--consent", "disk", "-o", plan).code == 0
        living.switch(HOST, forced_down=True)
        living.ask("POST", f"/servers/{living.servers['db']}/action", {"evacuate": {}}, at="2.95")
        ended = living.stackmend("run", "--plan", plan, "-y", "-f", "json")
        assert ended.code == 0, ended.err
        assert living.counted("server.evacuate") == sorted(ALL)
        # The plan had counted on nova to start it.
        assert living.counted("server.start") == ["db", "web"]
        assert Counter(name for name, _ in living.guests()) == Counter(["db", "web", "disk", "peer"])

    def test_the_host_that_somebody_lets_back_is_told(self, living: LivingDesk) -> None:
        living.dies(HOST)
        fault = living.cloud.fault("pause-after-effect", service="compute", path="action$", after=3, times=1)
        run = living.process("run", "evacuate-host", HOST, "-y", "--consent", "disk")
        fault.wait(60)
        living.switch(HOST, status="enabled")
        fault.release()
        ended = living.ended(run)
        assert (ended.code, "was let back by somebody" in ended.err) == (3, True)

    def test_what_is_left_to_its_owner_or_untagged_stays(self, make_living: MakeLiving) -> None:
        servers = [
            {"name": "amphora-7", "host": HOST, "root": "volume"},
            {"name": "plain", "host": HOST, "root": "volume"},
            {"name": "wanted", "host": HOST, "root": "volume", "metadata": {"HA_Enabled": "True"}},
        ]
        living = make_living(servers=servers)
        living.dies(HOST)
        evacuated(living, "--tag", "HA_Enabled", consent=[])
        assert living.counted("server.evacuate") == ["wanted"]
        assert living.planned("evacuate-host", HOST, tag="HA_Enabled")["lanes"] == []


class TestImages:
    """What a server's image asks for counts as what its flavor asks for."""

    SERVERS: ClassVar[list[dict[str, Any]]] = [
        {"name": "tpm", "host": HOST, "image_properties": {"hw_tpm_version": "2.0", "hw_disk_bus": "scsi"}},
        {"name": "rooted", "host": HOST, "root": "volume", "image_properties": {"hw_tpm_version": "2.0"}},
        {"name": "numa", "host": HOST, "root": "volume", "image_properties": {"hw_numa_nodes": "2"}},
        {"name": "paged", "host": HOST, "root": "volume", "extra_specs": {"hw:mem_page_size": "large"}},
        {"name": "plain", "host": HOST},
        {"name": "alike", "host": HOST},
    ]

    @staticmethod
    def asked_glance(desk: LivingDesk) -> list[str]:
        """The images that were read."""
        return [call["path"] for call in desk.cloud.calls() if "/v2/images/" in call["path"]]

    # The first shows what it keeps of images, the second does not: then glance has it.
    @pytest.mark.parametrize(("minor", "images"), [(104, 0), (94, 2)])
    def test_a_virtual_tpm_of_an_image(self, make_living: MakeLiving, minor: int, images: int) -> None:
        living = make_living(servers=self.SERVERS)
        living.cloud.settings(compute_minor=minor)
        living.dies(HOST)
        found = verdicts(living.planned("evacuate-host", HOST, consent="all"))
        assert len(self.asked_glance(living)) == images
        assert {name: item["verdict"] for name, item in found.items()} == {
            **dict.fromkeys(("tpm", "rooted"), "impossible"),
            **dict.fromkeys(("numa", "paged", "plain", "alike"), "ready"),
        }
        assert "virtual TPM" in found["tpm"]["why"]
        assert "hw:numa_nodes=2" in found["numa"]["why"]
        assert "hw:mem_page_size=large" in found["paged"]["why"]
        kept = {server["name"]: server["image_properties"] for server in self.captured(living)}
        assert (kept["tpm"], kept["plain"]) == ({"hw_tpm_version": "2.0"}, {})
        evacuated(living, consent="all")
        assert living.counted("server.evacuate") == ["alike", "numa", "paged", "plain"]

    def test_an_image_that_is_gone_is_told(self, make_living: MakeLiving) -> None:
        living = make_living(servers=self.SERVERS)
        living.cloud.settings(compute_minor=94)
        (image,) = [server["image"] for server in self.captured(living) if server["name"] == "plain"]
        living.ask("DELETE", f"/images/{image}", service="image")
        living.dies(HOST)
        found = verdicts(living.planned("evacuate-host", HOST, consent="all"))
        unknown = {name for name, item in found.items() if "what its image asks of a host is unknown" in item["why"]}
        assert (unknown, found["plain"]["verdict"]) == ({"plain", "alike"}, "ready")

    def test_a_glance_that_fails_keeps_nobody_from_planning(self, make_living: MakeLiving) -> None:
        living = make_living(servers=self.SERVERS)
        living.cloud.settings(compute_minor=94)
        living.cloud.fault("status", status=403, service="image", path="images/")
        living.dies(HOST)
        found = verdicts(living.planned("evacuate-host", HOST, consent="all"))
        assert ("is unknown" in found["tpm"]["why"], found["rooted"]["verdict"]) == (True, "impossible")

    @staticmethod
    def captured(desk: LivingDesk) -> list[dict[str, Any]]:
        """The host's servers, as a capture has them."""
        path = desk.path("capture.json")
        assert desk.stackmend("capture", "evacuate-host", HOST, "-o", path).code == 0
        found: list[dict[str, Any]] = json.loads(Path(path).read_text(encoding="utf-8"))["servers"]
        return found


class TestBadInput:
    """One sentence, and nothing is done."""

    @pytest.mark.parametrize(
        ("words", "fragment"),
        [
            (["nowhere"], "there is no compute host nowhere"),
            ([HOST, "--to", HOST], "can't go to sim-c01"),
            ([HOST, "--to", "nowhere"], "can't go to nowhere"),
            ([HOST, "--reserved", "nowhere"], "can't go to nowhere"),
            ([HOST, "--exclude", "dbb"], "there is no server dbb on sim-c01"),
            ([HOST, "--consent", "peer"], "there is no server peer on sim-c01"),
            ([HOST, "--attempts", "0"], "attempts must be 1 or more"),
            ([], "host"),
        ],
    )
    def test_in_the_command(self, living: LivingDesk, words: list[str], fragment: str) -> None:
        refused(living, words, fragment)

    def test_in_the_inventory(self, living: LivingDesk) -> None:
        living.settings(inventory="")
        refused(living, [HOST], "name its fence agent in the inventory, or say --fenced")

    def test_a_target_that_is_down(self, living: LivingDesk) -> None:
        living.dies("sim-c03")
        living.cloud.clear_journal()
        refused(living, [HOST, "--to", "sim-c03"], "its nova-compute is down")


def refused(desk: LivingDesk, words: list[str], fragment: str) -> None:
    """One sentence with these words, and nothing was touched."""
    ended = desk.stackmend("run", "evacuate-host", *words, "-y")
    assert (ended.code, ended.out, len(ended.err.strip().splitlines())) == (2, "", 1), ended
    assert fragment in ended.err
    assert (desk.touched(), desk.calls()) == ([], [])


def disable(desk: LivingDesk, host: str, reason: str) -> None:
    """Somebody disables a host."""
    desk.switch(host, status="disabled", disabled_reason=reason)
