"""host-maintenance: a host is closed, emptied and held; then it comes back, and only our own work is taken back."""

from pathlib import Path
from typing import Any

import pytest
from calm import ask, bound, calm, disabled, hosts, running, sent, service, silent, states
from desk import Desk, Ended, MakeDesk, assert_refused, verdicts
from waiting import until

from stackmend.clients.cloud import ApiCall

HOST, OTHER, THIRD = "sim-c01", "sim-c02", "sim-c03"
QUICK = ("--verify-timeout", "10", "--boot-timeout", "5", "--ssh-timeout", "10", "--up-timeout", "10")


@pytest.fixture
def town(make_desk: MakeDesk) -> Desk:
    """db and web run on a host, idle is stopped there, other runs elsewhere."""
    desk = calm(make_desk)
    desk.settings(inventory=desk.cloud.description["inventory"], settle=0.3)
    return desk


def out(desk: Desk, *words: str, quick: tuple[str, ...] = QUICK) -> Ended:
    """The first half."""
    return desk.stackmend("run", "host-maintenance", HOST, "--yes", "-f", "json", "--key", "work", *quick, *words)


def back(desk: Desk) -> Ended:
    """The second half: the operator says that the work is done."""
    approved = desk.stackmend("approve", "work", "--reason", "new disk")
    assert approved.code == 0, approved.err
    return desk.stackmend("resume", "work", "-f", "json")


def live(desk: Desk, name: str, host: str) -> None:
    """Somebody else live-migrates a server, and it arrives."""
    body = {"os-migrateLive": {"host": host, "block_migration": "auto"}}
    ask(desk, ApiCall("compute", "POST", f"/servers/{desk.servers[name]}/action", body, "2.68"))
    until(lambda: (hosts(desk)[name], states(desk)[name][1]) == (host, None), f"{name} is on {host}")


def unit(desk: Desk) -> tuple[bool, bool]:
    """Whether the host's nova-compute runs, and whether it is masked."""
    (row,) = [row for row in desk.cloud.state()["processes"] if (row["host"], row["binary"]) == (HOST, "nova-compute")]
    return bool(row["running"]), bool(row["masked"])


def told_masakari(desk: Desk) -> list[bool]:
    """What Masakari was told of the host, in order."""
    return [item["on_maintenance"] for item in desk.cloud.journal("masakari.") if item["target"] == HOST]


def truth(desk: Desk) -> dict[str, Any]:
    """What a revert has to restore."""
    found = service(HOST)
    flags = {name: found[name] for name in ("status", "disabled_reason", "forced_down")}
    now = {"hosts": hosts(desk), "states": states(desk), "running": running(desk), "ports": bound(desk)}
    return {**now, "service": flags, "unit": unit(desk)}


class TestOut:
    """The first half."""

    def test_the_host_is_empty_and_held(self, town: Desk) -> None:
        ended = out(town, "--note", "new disk")
        assert (ended.code, ended.data["state"]) == (6, "awaiting-operator"), ended.err
        assert "do the work" in ended.data["waits_for"]
        assert hosts(town)["idle"] == HOST
        assert HOST not in [host for places in running(town).values() for host in places]
        assert unit(town) == (False, True)
        found = service(HOST)
        assert found["status"] == "disabled"
        assert found["disabled_reason"].startswith("stackmend: host-maintenance")
        assert found["disabled_reason"].endswith("new disk")

    def test_it_goes_no_further_before_it_is_approved(self, town: Desk) -> None:
        out(town)
        town.cloud.clear_journal()
        assert town.stackmend("resume", "work").code == 6
        assert town.touched() == []

    def test_a_server_that_will_not_go_live_goes_cold(self, town: Desk) -> None:
        town.cloud.fault("status", status=400, service="compute", body="os-migrateLive")
        assert out(town).code == 6
        assert sorted(sent(town, "server.")) == sorted(
            (kind, name) for kind in ("server.migrate", "server.confirmResize") for name in ("db", "web")
        )
        assert running(town)["db"] != [HOST]

    def test_what_its_image_keeps_from_going_live_goes_cold_at_once(self, make_desk: MakeDesk) -> None:
        tpm = {"name": "tpm", "host": HOST, "image_properties": {"hw_tpm_version": "2.0"}}
        desk = calm(make_desk, servers=[tpm])
        desk.settings(inventory=desk.cloud.description["inventory"], settle=0.3)
        assert out(desk, "--home").code == 6
        assert sorted(sent(desk, "server.")) == [("server.confirmResize", "tpm"), ("server.migrate", "tpm")]
        desk.cloud.clear_journal()
        ended = back(desk)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert sorted(sent(desk, "server.")) == [("server.confirmResize", "tpm"), ("server.migrate", "tpm")]
        assert (hosts(desk), states(desk)) == ({"tpm": HOST}, {"tpm": ("active", None)})

    def test_one_that_is_late_is_aborted_and_goes_cold(self, town: Desk) -> None:
        town.cloud.settings(migrate_seconds=3.0)
        assert out(town, "--deadline", "1", "--on-deadline", "abort", "--ladder", "live,stop").code == 6
        kinds = [kind for kind, _ in sent(town, "server.", "migration.")]
        assert (kinds.count("migration.abort"), kinds.count("server.stop")) == (2, 2)
        assert states(town)["db"] == ("stopped", None)

    def test_what_can_go_nowhere_is_stopped(self, town: Desk) -> None:
        for host in (OTHER, THIRD):
            disabled(town, host, "full")
        found = verdicts(town.stackmend("plan", "host-maintenance", HOST, "-f", "json").data)
        assert "stopped where it is: no other host has room" in found["db"]["why"]
        assert out(town).code == 6
        assert sorted(sent(town, "server.")) == [("server.stop", "db"), ("server.stop", "web")]
        assert running(town) == {"other": [OTHER]}

    def test_what_runs_on_keeps_the_host_from_being_stopped(self, town: Desk) -> None:
        town.cloud.fault("status", status=400, service="compute", body="os-migrateLive")
        ended = out(town, "--ladder", "live", quick=("--boot-timeout", "1"))
        assert (ended.code, ended.data["state"]) == (4, "needs-hands")
        assert {lane["title"] for lane in ended.data["lanes"] if lane["error"]} == {"db", "web"}
        assert unit(town) == (True, False)
        assert town.stackmend("resume", "work").code == 2
        assert unit(town) == (True, False)
        town.cloud.clear_faults()
        ended = town.stackmend("retry", "work", "-f", "json")
        assert (ended.code, ended.data["state"]) == (6, "awaiting-operator"), ended.err
        assert unit(town) == (False, True)

    def test_a_stopped_server_that_was_to_leave_keeps_it_too(self, town: Desk) -> None:
        """Sent away later, it would wait for a nova-compute that is stopped, or leave a host that is back."""
        town.cloud.fault("status", status=409, service="compute", body='"migrate"', times=1)
        ended = out(town, "--to", OTHER, "--move-stopped")
        assert (ended.code, ended.data["state"]) == (4, "needs-hands"), ended
        assert unit(town) == (True, False)
        ended = town.stackmend("retry", "work", "-f", "json")
        assert (ended.code, hosts(town)["idle"], unit(town)) == (6, OTHER, (False, True)), ended.err


class TestBack:
    """The second half."""

    def test_the_host_is_itself_again(self, town: Desk) -> None:
        out(town)
        ended = back(town)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert unit(town) == (True, False)
        found = service(HOST)
        assert (found["status"], found["disabled_reason"], found["state"]) == ("enabled", None, "up")
        assert HOST not in (hosts(town)["db"], hosts(town)["web"])

    def test_with_home_everything_is_as_it_was(self, town: Desk) -> None:
        before = truth(town)
        out(town, "--home")
        ended = back(town)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert truth(town) == before

    def test_with_home_what_was_moved_stopped_comes_back_stopped(self, town: Desk) -> None:
        before = truth(town)
        out(town, "--home", "--move-stopped")
        assert hosts(town)["idle"] != HOST
        town.cloud.clear_journal()
        ended = back(town)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert truth(town) == before
        assert [(kind, name) for kind, name in sent(town, "server.") if name == "idle"] == [
            ("server.migrate", "idle"),
            ("server.confirmResize", "idle"),
        ]

    def test_one_that_was_moved_stopped_and_runs_now_stays(self, town: Desk) -> None:
        out(town, "--home", "--move-stopped", "--to", OTHER)
        ask(town, ApiCall("compute", "POST", f"/servers/{town.servers['idle']}/action", {"os-start": None}))
        until(lambda: states(town)["idle"] == ("active", None), "idle runs")
        assert back(town).code == 0
        assert (hosts(town)["idle"], hosts(town)["db"]) == (OTHER, HOST)

    def test_only_what_still_is_where_it_was_put_comes_home(self, town: Desk) -> None:
        out(town, "--home", "--to", OTHER)
        live(town, "db", THIRD)
        assert back(town).code == 0
        assert (hosts(town)["db"], hosts(town)["web"]) == (THIRD, HOST)

    def test_what_was_stopped_is_started_and_nothing_else(self, town: Desk) -> None:
        before = truth(town)
        out(town, "--ladder", "stop")
        assert running(town) == {"other": [OTHER]}
        town.cloud.clear_journal()
        assert back(town).code == 0
        assert sorted(sent(town, "server.")) == [("server.start", "db"), ("server.start", "web")]
        assert {name: value for name, value in truth(town).items() if name != "service"} == {
            name: value for name, value in before.items() if name != "service"
        }

    def test_a_host_that_was_switched_off_meanwhile(self, town: Desk) -> None:
        out(town)
        town.cloud.host(HOST, "power-off")
        town.cloud.host(HOST, "power-on")
        assert unit(town) == (False, True)
        assert back(town).code == 0
        assert (unit(town), service(HOST)["status"]) == ((True, False), "enabled")

    def test_somebody_elses_reason_keeps_it_closed(self, town: Desk) -> None:
        out(town)
        disabled(town, HOST, "it smells of smoke")
        ended = back(town)
        assert (ended.code, ended.data["state"]) == (4, "needs-hands")
        assert "it smells of smoke" in ended.err
        assert service(HOST)["disabled_reason"] == "it smells of smoke"

    def test_a_host_that_was_closed_before_stays_closed(self, town: Desk) -> None:
        disabled(town, HOST, "it smells of smoke")
        out(town)
        ended = back(town)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert service(HOST)["disabled_reason"] == "it smells of smoke"
        assert unit(town) == (True, False)


class TestReverted:
    """Everything before the hold can be taken back."""

    @pytest.mark.parametrize("ladder", ["live,cold,stop", "cold", "stop"])
    def test_all_is_as_it_was(self, town: Desk, ladder: str) -> None:
        before = truth(town)
        assert out(town, "--ladder", ladder).code == 6
        assert truth(town) != before
        ended = town.stackmend("revert", "work", "-f", "json")
        assert (ended.code, ended.data["state"]) == (0, "reverted"), ended.err
        assert truth(town) == before

    def test_one_that_somebody_has_moved_since_stays(self, town: Desk) -> None:
        out(town, "--to", OTHER)
        live(town, "db", THIRD)
        ended = town.stackmend("revert", "work", "-f", "json")
        assert (ended.code, "somebody has moved it since" in ended.err) == (4, True), ended.err
        assert (hosts(town)["db"], hosts(town)["web"]) == (THIRD, HOST)
        assert (service(HOST)["status"], unit(town)) == ("enabled", (True, False))


class TestPeers:
    """Whoever else watches the host."""

    def test_hooks_are_run_and_run_back(self, town: Desk) -> None:
        told = Path(town.path("told"))
        hooks = ["--hook-mute", f"echo mute $STACKMEND_HOST >> {told}", "--hook-unmute", f"echo unmute >> {told}"]
        out(town, *hooks)
        assert told.read_text().split("\n") == [f"mute {HOST}", ""]
        assert back(town).code == 0
        assert told.read_text().split("\n") == [f"mute {HOST}", "unmute", ""]

    def test_a_revert_unmutes(self, town: Desk) -> None:
        told = Path(town.path("told"))
        out(town, "--hook-mute", f"echo mute >> {told}", "--hook-unmute", f"echo unmute >> {told}")
        assert town.stackmend("revert", "work").code == 0
        assert told.read_text().split() == ["mute", "unmute"]

    def test_masakari_is_muted_for_the_time(self, town: Desk) -> None:
        out(town, "--mute-masakari")
        assert told_masakari(town) == [True]
        assert back(town).code == 0
        assert told_masakari(town) == [True, False]

    def test_a_revert_lets_masakari_at_it_again(self, town: Desk) -> None:
        out(town, "--mute-masakari")
        assert town.stackmend("revert", "work").code == 0
        assert told_masakari(town) == [True, False]

    def test_a_host_that_was_on_maintenance_before_stays_so(self, town: Desk) -> None:
        out(town, "--mute-masakari", "--hook-mute", "exit 3", "--hook-unmute", "true")
        assert told_masakari(town) == [True]
        assert town.stackmend("abandon", "work", "--reason", "another day").code == 0
        ended = town.stackmend("plan", "host-maintenance", HOST, "--mute-masakari", "-f", "json")
        assert ended.code == 0, ended.err
        assert any("on maintenance at Masakari already" in note for note in ended.data["notes"])

    def test_a_hook_that_fails_stops_everything(self, town: Desk) -> None:
        ended = out(town, "--hook-mute", "echo no >&2; exit 3", "--hook-unmute", "true")
        assert (ended.code, ended.data["state"]) == (4, "needs-hands")
        assert "ended with 3: no" in ended.err
        assert (town.touched(), service(HOST)["status"]) == ([], "enabled")


def test_the_plan_changes_nothing_and_shows_both_halves(town: Desk) -> None:
    told = town.stackmend("plan", "host-maintenance", HOST, "--home").out
    assert town.touched() == []
    for words in ("systemctl mask", "systemctl unmask", "held until you approve it", '"status": "disabled"', "home"):
        assert words in told


def test_a_host_without_servers(make_desk: MakeDesk) -> None:
    desk = calm(make_desk, hosts=2, servers=[{"name": "only", "host": OTHER}])
    desk.settings(inventory=desk.cloud.description["inventory"])
    assert out(desk).code == 6
    assert back(desk).code == 0
    assert sent(desk, "server.") == []


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ([], ["needs its HOST"]),
        (["sim-c99"], ["no compute host sim-c99"]),
        ([HOST, "--ladder", "fly"], ["live, cold, stop", "'fly'"]),
        ([HOST, "--ladder", "stop,live"], ["in that order"]),
        ([HOST, "--to", HOST], ["can't be moved to sim-c01 itself"]),
        ([HOST, "--on-deadline", "panic"], ["on_deadline is one of"]),
        ([HOST, "--hook-mute", "true"], ["belong together"]),
    ],
)
def test_wrong_words(town: Desk, words: list[str], fragments: list[str]) -> None:
    assert_refused(town, town.stackmend("run", "host-maintenance", *words, "--yes"), 2, *fragments)


def test_a_host_that_is_down(town: Desk) -> None:
    silent(town, HOST)
    town.cloud.clear_journal()
    assert_refused(town, town.stackmend("run", "host-maintenance", HOST, "--yes"), 2, HOST, "down", "host-return")


def test_a_host_that_ssh_does_not_reach(town: Desk) -> None:
    town.cloud.ssh(HOST, refuse=True)
    ended = out(town, quick=("--ssh-timeout", "1"))
    assert (ended.code, ended.data["state"]) == (4, "needs-hands")
    assert unit(town) == (True, False)
    town.cloud.ssh(HOST, refuse=False)
    assert town.stackmend("retry", "work").code == 6
    assert unit(town) == (False, True)
