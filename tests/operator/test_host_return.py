"""A compute host is back: proved alive, let in, swept; what ran on it runs again, and what does not is told."""

from typing import Any

import pytest
from desk import Ended
from living import LivingDesk, MakeLiving, asked

HOST = "sim-c01"
QUICK = {"compute_timeout": 10, "power_timeout": 5, "boot_timeout": 10}


def returned(desk: LivingDesk, *words: str, **parameters: Any) -> Ended:
    """The host is let back."""
    return desk.do("host-return", HOST, *words, **{**QUICK, **parameters})


def reboots(desk: LivingDesk) -> list[str]:
    """The servers that were hard-rebooted, as often as they were."""
    return desk.counted("server.reboot")


def restarted(desk: LivingDesk) -> None:
    """The host has lost its power and got it again: no guest runs, and nova has not noticed."""
    desk.cloud.host(HOST, "power-off")
    desk.cloud.host(HOST, "power-on")
    desk.cloud.clear_journal()


class TestAfterAnEvacuation:
    """The dead host comes back."""

    def test_it_is_cleaned_let_up_and_enabled(self, living: LivingDesk) -> None:
        living.dies(HOST)
        assert living.do("evacuate-host", HOST, consent="disk", exclude="web").code == 0
        ended = returned(living)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert living.service(HOST) == {"disabled": 0, "disabled_reason": None, "forced_down": 0}
        assert {row["status"] for row in living.table("nova", "migrations")} == {"completed"}
        assert [effect["reset_type"] for effect in living.cloud.journal("host.reset")] == ["On"]
        assert reboots(living) == ["web"]
        assert dict(living.guests())["web"] == HOST
        (clean,) = [lane for lane in ended.data["lanes"] if lane["stage"] == "look"]
        assert clean["state"] == "done"
        report = living.stackmend("report", "last", "-f", "json").out
        assert '"allocations_left": []' in report

    def test_a_host_whose_fence_agent_was_silent_is_switched_on(self, living: LivingDesk) -> None:
        """When it is planned nobody can say whether it has power; when it runs, its agent answers again."""
        living.dies(HOST)
        assert living.do("evacuate-host", HOST, consent="disk", exclude="web").code == 0
        living.cloud.fault("status", status=503, service="redfish", path=f"/Systems/{HOST}")
        given = asked("host-return", {**QUICK, "host": HOST})
        planned = living.stackmend("plan", "host-return", *given, "-o", living.path("plan.json"))
        assert "it is read again, and switched on if need be" in planned.out, planned
        living.cloud.clear_faults()
        ended = living.stackmend("run", "--plan", living.path("plan.json"), "--yes", "-f", "json")
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert [effect["reset_type"] for effect in living.cloud.journal("host.reset")] == ["On"]

    def test_a_host_that_was_cut_off_never_runs_a_server_twice(self, living: LivingDesk) -> None:
        living.crashes(HOST)
        assert living.do("evacuate-host", HOST, "--fenced", "its switch is off", consent="disk").code == 0
        # Nothing was switched off: its guests still run there, beside the new ones.
        assert len(living.guests()) > 4
        living.cloud.host(HOST, "join")
        before = living.cloud.state()["hosts"][HOST]["boot_id"]
        ended = returned(living)
        assert ended.code == 0, ended.err
        assert sorted(name for name, _ in living.guests()) == ["db", "disk", "peer", "web"]
        assert HOST not in dict(living.guests()).values()
        assert living.cloud.state()["hosts"][HOST]["boot_id"] == before

    def test_a_host_that_somebody_else_disabled_stays_so(self, living: LivingDesk) -> None:
        living.switch(HOST, status="disabled", disabled_reason="bad memory")
        living.dies(HOST)
        assert living.do("evacuate-host", HOST, consent="disk").code == 0
        assert returned(living).code == 0
        assert living.service(HOST) == {"disabled": 1, "disabled_reason": "bad memory", "forced_down": 0}
        plan = living.planned("host-return", HOST)
        assert any("stays disabled" in note and "bad memory" in note for note in plan["notes"])


class TestServers:
    """What ran runs again, once."""

    def test_guests_that_are_gone_are_rebooted_once(self, living: LivingDesk) -> None:
        restarted(living)
        ended = returned(living)
        assert ended.code == 0, ended.err
        assert reboots(living) == ["db", "disk", "web"]
        order = [effect["target"] for effect in living.cloud.journal("server.reboot")]
        assert order.index(living.servers["db"]) < order.index(living.servers["web"])
        assert living.places()["idle"] == (HOST, "stopped")
        assert living.counted("server.start") == []

    def test_guests_that_run_are_left_alone(self, living: LivingDesk) -> None:
        living.cloud.host(HOST, "kill")
        living.cloud.damage("heartbeat-stale", HOST)
        living.cloud.clear_journal()
        assert returned(living).code == 0
        assert [call for call in living.calls() if "action" in call[2]] == []
        assert [effect["kind"] for effect in living.cloud.journal("host.process")] == ["host.process.start"]

    def test_a_host_that_is_well_is_not_touched(self, living: LivingDesk) -> None:
        assert returned(living).code == 0
        assert living.calls() == []
        assert living.cloud.journal("host.process") == []

    def test_what_nova_itself_stopped_is_started(self, living: LivingDesk) -> None:
        living.cloud.settings(sync_power_states=True, domains_survive=True)
        restarted(living)
        ended = returned(living)
        assert ended.code == 0, ended.err
        assert reboots(living) == []
        assert dict(living.guests()) == {"db": HOST, "web": HOST, "disk": HOST, "peer": "sim-c02"}
        assert living.places()["idle"] == (HOST, "stopped")

    def test_one_that_does_not_come_up_is_told_with_the_log(self, living: LivingDesk) -> None:
        restarted(living)
        living.cloud.damage("server-error", living.servers["web"])
        fault = (
            "INSERT INTO instance_faults (created_at, instance_uuid, code, message, deleted) VALUES (?, ?, 500, ?, 0)"
        )
        living.execute("nova", fault, "2026-01-01 00:00:00", living.servers["web"], "qemu ended with 1")
        living.execute("nova", "UPDATE instances SET power_state = 1 WHERE uuid = ?", living.servers["web"])
        path = f"{living.servers['web']}/action$"
        living.cloud.fault("status", status=202, service="compute", method="POST", path=path)
        ended = returned(living, boot_timeout=1)
        assert (ended.code, ended.data["state"]) == (3, "done-with-exceptions"), ended.err
        (why,) = living.errors(ended)
        assert all(word in why for word in ("qemu ended with 1", "the log of nova-compute ends", "ERROR nova.compute"))
        assert {name for name, host in living.guests() if host == HOST} == {"db", "disk"}

    def test_one_that_is_excluded(self, living: LivingDesk) -> None:
        restarted(living)
        assert returned(living, exclude="db").code == 0
        assert reboots(living) == ["disk", "web"]


class TestAlive:
    """Nothing goes on before it is proved alive."""

    def test_a_nova_compute_that_was_masked(self, living: LivingDesk) -> None:
        living.cloud.host(HOST, "kill")
        living.on_host(HOST, "systemctl mask nova-compute")
        assert returned(living).code == 0
        (row,) = [
            row for row in living.cloud.state()["processes"] if (row["host"], row["binary"]) == (HOST, "nova-compute")
        ]
        assert (row["running"], row["masked"]) == (1, 0)

    def test_a_host_that_does_not_answer(self, living: LivingDesk) -> None:
        living.cloud.ssh(HOST, refuse=True)
        ended = returned(living, compute_timeout=1)
        assert (ended.code, "can't be reached by SSH" in ended.err) == (4, True)
        assert living.calls() == []

    def test_one_whose_heartbeat_stands_still(self, living: LivingDesk) -> None:
        restarted(living)
        living.cloud.settings(report_interval=60)
        ended = returned(living, compute_timeout=2)
        assert (ended.code, "new heartbeats within" in ended.err) == (4, True)
        assert reboots(living) == []

    def test_one_that_does_not_answer_by_rpc(self, living: LivingDesk) -> None:
        living.cloud.fault("status", status=400, service="compute", path="uptime")
        ended = returned(living, compute_timeout=3)
        assert (ended.code, "does not answer" in ended.err, "Starting nova-compute" in ended.err) == (4, True, True)

    def test_while_servers_are_leaving(self, living: LivingDesk) -> None:
        living.cloud.settings(evacuate_seconds=30)
        living.dies(HOST)
        living.switch(HOST, forced_down=True)
        living.ask("POST", f"/servers/{living.servers['db']}/action", {"evacuate": {}}, at="2.95")
        ended = returned(living)
        assert (ended.code, "servers are being evacuated from sim-c01" in ended.err) == (4, True)


class TestLeftovers:
    """What is left of servers that are elsewhere."""

    def test_an_allocation_is_dropped_and_given_back(self, living: LivingDesk) -> None:
        server = living.servers["peer"]
        held = living.ask("GET", f"/allocations/{server}", service="placement", at="1.28")
        living.ask("PUT", f"/allocations/{server}", both(living, held), service="placement", at="1.28")
        before = living.ask("GET", f"/allocations/{server}", service="placement", at="1.28")["allocations"]
        assert len(before) == 2
        assert returned(living).code == 0
        after = living.ask("GET", f"/allocations/{server}", service="placement", at="1.28")["allocations"]
        assert list(after) == list(held["allocations"])
        ended = living.stackmend("revert", "last", "--where-possible", "-f", "json")
        assert ended.code == 0, ended.err
        again = living.ask("GET", f"/allocations/{server}", service="placement", at="1.28")["allocations"]
        assert {name: row["resources"] for name, row in again.items()} == {
            name: row["resources"] for name, row in before.items()
        }

    def test_a_binding_that_only_a_service_may_delete(self, living: LivingDesk) -> None:
        columns = ("port_id", "host", "vif_type", "vnic_type", "profile", "vif_details", "status")
        values = (living.ports["peer"], HOST, "unbound", "normal", "", "", "INACTIVE")
        insert(living, "neutron", "ml2_port_bindings", dict(zip(columns, values, strict=True)))
        migration = {"created_at": "2026-01-01 00:00:00", "migration_type": "live-migration", "status": "error"}
        migration |= {"source_compute": "sim-c02", "dest_compute": HOST, "instance_uuid": living.servers["peer"]}
        migration |= {"uuid": "9b0c6a5e-0f3f-4f57-8d42-6a0c55e5c1aa", "hidden": 0, "deleted": 0}
        insert(living, "nova", "migrations", migration)
        ended = returned(living)
        assert ended.code == 3, ended.err
        (why,) = living.errors(ended)
        assert living.ports["peer"] in why
        assert "role" in why


@pytest.mark.parametrize(
    ("words", "fragment"),
    [(["nowhere"], "there is no compute host nowhere"), ([HOST, "--exclude", "peer"], "there is no server peer on")],
)
def test_bad_input(living: LivingDesk, words: list[str], fragment: str) -> None:
    ended = living.stackmend("run", "host-return", *words, "-y")
    assert (ended.code, ended.out, len(ended.err.strip().splitlines())) == (2, "", 1), ended
    assert fragment in ended.err
    assert (living.touched(), living.calls()) == ([], [])


def test_a_host_without_servers(make_living: MakeLiving) -> None:
    living = make_living(servers=[{"name": "peer", "host": "sim-c02"}])
    living.cloud.host(HOST, "kill")
    assert returned(living).code == 0


def insert(desk: LivingDesk, database: str, table: str, row: dict[str, Any]) -> None:
    """A row that somebody has left."""
    marks = ", ".join("?" * len(row))
    desk.execute(database, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *row.values())


def both(desk: LivingDesk, held: dict[str, Any]) -> dict[str, Any]:
    """What a server holds, and as much again on the host that it is not on."""
    rows = desk.ask("GET", "/resource_providers", service="placement")["resource_providers"]
    (provider,) = [row["uuid"] for row in rows if row["name"] == HOST]
    ((_, mine),) = held["allocations"].items()
    allocations = {name: {"resources": row["resources"]} for name, row in held["allocations"].items()}
    who = {name: held[name] for name in ("project_id", "user_id", "consumer_generation")}
    return {"allocations": {**allocations, provider: {"resources": mine["resources"]}}, **who}
