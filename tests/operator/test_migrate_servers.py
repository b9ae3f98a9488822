"""migrate-servers: what runs goes live, what is stopped goes cold; each watched, ended in time, and proved."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from calm import AGENT, ask, attached, bound, calm, disabled, hosts, migrate, running, sent, silent, states
from desk import Desk, Ended, MakeDesk, assert_refused, verdicts
from waiting import until

from stackmend.clients.cloud import ApiCall

SOURCE, OTHER, TARGET = "sim-c01", "sim-c02", "sim-c03"


@pytest.fixture
def town(make_desk: MakeDesk) -> Desk:
    """db and web run on a host, idle is stopped there, other runs elsewhere."""
    return calm(make_desk)


def plan(desk: Desk, *words: str) -> Any:
    """The plan of such a run."""
    ended = desk.stackmend("plan", "migrate-servers", "-f", "json", *words)
    assert ended.code == 0, ended.err
    return ended.data


def elsewhere(desk: Desk, name: str, host: str) -> None:
    """Somebody else asks nova for a live migration."""
    body = {"os-migrateLive": {"host": host, "block_migration": "auto"}}
    ask(desk, ApiCall("compute", "POST", f"/servers/{desk.servers[name]}/action", body, "2.68"))


def reach_hosts_by_ssh(desk: Desk) -> None:
    """An inventory with the hosts' addresses."""
    found = {name: {"address": row["address"], "user": "root"} for name, row in desk.cloud.state()["hosts"].items()}
    Path(desk.path("hosts.yaml")).write_text(yaml.safe_dump({"hosts": found}), encoding="utf-8")
    desk.settings(inventory=desk.path("hosts.yaml"))


class TestMoved:
    """What is there afterwards."""

    def test_everything_of_a_host_is_on_the_other(self, town: Desk) -> None:
        ended = migrate(town, "--host", SOURCE, "--to", TARGET)
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert hosts(town) == {"db": TARGET, "web": TARGET, "idle": TARGET, "other": OTHER}
        assert running(town) == {"db": [TARGET], "web": [TARGET], "other": [OTHER]}
        assert states(town)["idle"] == ("stopped", None)
        assert bound(town) == {name: [(host, "ACTIVE")] for name, host in hosts(town).items()}
        assert attached(town) == {name: [TARGET] for name in ("db-root", "db-data", "web-data", "idle-data")}
        assert sorted(sent(town, "server.")) == [
            ("server.confirmResize", "idle"),
            ("server.migrate", "idle"),
            ("server.migrateLive", "db"),
            ("server.migrateLive", "web"),
        ]

    def test_the_scheduler_chooses_where_no_host_is_named(self, town: Desk) -> None:
        silent(town, TARGET)
        ended = migrate(town, "--server", "db")
        assert ended.code == 0, ended.err
        assert hosts(town)["db"] == OTHER

    def test_what_is_sent_is_what_the_plan_printed(self, town: Desk) -> None:
        words = ["--host", SOURCE, "--to", TARGET]
        planned = {
            (effect["method"], effect["path"])
            for lane in plan(town, *words)["lanes"]
            for step in lane["steps"]
            for effect in step["effects"]
            if step["when"] == "always"
        }
        assert town.touched() == []
        assert migrate(town, *words).code == 0
        assert {(method, path.partition("/v2.1")[2]) for _, method, path in town.calls()} == planned

    def test_a_running_server_that_may_be_off_goes_cold(self, town: Desk) -> None:
        assert migrate(town, "--server", "db", "--cold", "db", "--to", TARGET).code == 0
        assert sent(town, "server.") == [("server.migrate", "db"), ("server.confirmResize", "db")]
        assert (hosts(town)["db"], states(town)["db"], running(town)["db"]) == (TARGET, ("active", None), [TARGET])

    def test_only_so_many_leave_a_host_at_a_time(self, make_desk: MakeDesk) -> None:
        desk = calm(make_desk, hosts=2, servers=[{"name": f"vm-{n}", "host": SOURCE} for n in range(6)])
        found = {lane["title"]: lane["after"] for lane in plan(desk, "--host", SOURCE, "--at-once", "2")["lanes"]}
        assert sorted(len(after) for after in found.values()) == [0, 0, 1, 1, 1, 1]
        assert migrate(desk, "--host", SOURCE).code == 0
        assert set(hosts(desk).values()) == {OTHER}


class TestLate:
    """A migration that does not end by itself."""

    @pytest.fixture
    def endless(self, town: Desk) -> Desk:
        """Guests that write faster than their memory is copied."""
        town.cloud.settings(migrate_seconds=600.0)
        return town

    def test_it_is_aborted_and_runs_on_where_it_was(self, endless: Desk) -> None:
        ended = migrate(endless, "--server", "db", "--deadline", "1")
        assert (ended.code, ended.data["state"]) == (3, "done-with-exceptions")
        (lane,) = ended.data["lanes"]
        assert all(word in lane["error"] for word in ("still on sim-c01", "cancelled"))
        assert sent(endless, "server.", "migration.") == [("server.migrateLive", "db"), ("migration.abort", "db")]
        assert (hosts(endless)["db"], states(endless)["db"]) == (SOURCE, ("active", None))
        assert bound(endless)["db"] == [(SOURCE, "ACTIVE")]
        assert attached(endless)["db-root"] == [SOURCE]

    def test_it_is_forced_to_its_end(self, endless: Desk) -> None:
        words = ["--deadline", "1", "--on-deadline", "force-complete"]
        ended = migrate(endless, "--server", "db", "--to", TARGET, *words)
        assert ended.code == 0, ended.err
        assert sent(endless, "migration.") == [("migration.complete", "db")]
        assert (hosts(endless)["db"], running(endless)["db"]) == (TARGET, [TARGET])

    def test_it_is_waited_for(self, town: Desk) -> None:
        town.cloud.settings(migrate_seconds=1.5)
        assert migrate(town, "--server", "db", "--deadline", "1", "--on-deadline", "wait").code == 0
        assert sent(town, "migration.") == []
        assert hosts(town)["db"] != SOURCE


class TestFailed:
    """A migration that comes to nothing."""

    @pytest.fixture
    def failed(self, town: Desk) -> Ended:
        """The end of a run to a host whose network agent is dead."""
        reach_hosts_by_ssh(town)
        silent(town, TARGET, AGENT)
        return migrate(town, "--server", "db", "--server", "web", "--to", TARGET)

    def test_novas_reason_and_both_logs_are_told(self, town: Desk, failed: Ended) -> None:
        assert (failed.code, failed.data["state"]) == (3, "done-with-exceptions")
        for lane in failed.data["lanes"]:
            assert "Binding failed for port" in lane["error"]
            assert f"the log on {SOURCE} ends" in lane["error"]
        assert (hosts(town)["db"], states(town)["db"]) == (SOURCE, ("active", None))

    @pytest.mark.usefixtures("failed")
    def test_a_retry_sends_it_again_once(self, town: Desk) -> None:
        town.cloud.host(TARGET, "start", binary=AGENT)
        ended = town.stackmend("retry", "move", "-f", "json")
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert hosts(town)["db"] == hosts(town)["web"] == TARGET
        assert sorted(sent(town, "server.")) == 2 * [("server.migrateLive", "db")] + 2 * [("server.migrateLive", "web")]

    @pytest.mark.usefixtures("failed")
    def test_there_is_nothing_to_revert_of_it(self, town: Desk) -> None:
        town.cloud.clear_journal()
        assert town.stackmend("revert", "move").code == 2
        assert town.touched() == []


class TestAdopted:
    """Others move servers too."""

    def test_a_migration_that_somebody_else_began_is_waited_for(self, town: Desk) -> None:
        town.cloud.settings(migrate_seconds=2.0)
        path = town.path("plan.json")
        assert town.stackmend("plan", "migrate-servers", "--server", "db", "-o", path).code == 0
        elsewhere(town, "db", TARGET)
        assert town.stackmend("run", "--plan", path, "--yes").code == 0
        assert sent(town, "server.") == [("server.migrateLive", "db")]
        assert hosts(town)["db"] == TARGET

    def test_a_server_that_has_left_already_is_not_moved(self, town: Desk) -> None:
        path = town.path("plan.json")
        assert town.stackmend("plan", "migrate-servers", "--server", "db", "-o", path).code == 0
        elsewhere(town, "db", TARGET)
        until(lambda: hosts(town)["db"] == TARGET and states(town)["db"] == ("active", None), "it has gone")
        assert town.stackmend("run", "--plan", path, "--yes").code == 0
        assert sent(town, "server.") == [("server.migrateLive", "db")]


class TestReverted:
    """What was moved goes back, unless somebody else has been at work."""

    def test_all_go_back(self, town: Desk) -> None:
        before = {"hosts": hosts(town), "states": states(town), "running": running(town), "ports": bound(town)}
        assert migrate(town, "--host", SOURCE, "--to", TARGET).code == 0
        ended = town.stackmend("revert", "move", "-f", "json")
        assert (ended.code, ended.data["state"]) == (0, "reverted"), ended.err
        now = {"hosts": hosts(town), "states": states(town), "running": running(town), "ports": bound(town)}
        assert now == before

    def test_one_that_somebody_has_moved_since_stays(self, town: Desk) -> None:
        assert migrate(town, "--server", "db", "--to", TARGET).code == 0
        elsewhere(town, "db", OTHER)
        until(lambda: hosts(town)["db"] == OTHER and states(town)["db"] == ("active", None), "it has gone on")
        ended = town.stackmend("revert", "move")
        assert (ended.code, "somebody has moved it since" in ended.err) == (4, True), ended.err
        assert hosts(town)["db"] == OTHER

    def test_a_way_back_that_failed_can_be_gone_again(self, town: Desk) -> None:
        assert migrate(town, "--server", "db", "--to", TARGET).code == 0
        silent(town, SOURCE, AGENT)
        ended = town.stackmend("revert", "move")
        assert (ended.code, "did not go back" in ended.err) == (4, True), ended.err
        town.cloud.host(SOURCE, "start", binary=AGENT)
        assert town.stackmend("revert", "move").code == 0
        assert hosts(town)["db"] == SOURCE


class TestVerdicts:
    """Said before anything moves."""

    def test_each_server_has_one(self, make_desk: MakeDesk) -> None:
        names = ("runs", "sleeps", "paused", "broken", "busy", "there", "left")
        status = {"sleeps": "SHUTOFF", "paused": "PAUSED", "broken": "ERROR"}
        desk = calm(
            make_desk,
            servers=[
                {"name": name, "host": TARGET if name == "there" else SOURCE, "status": status.get(name, "ACTIVE")}
                for name in names
            ],
        )
        desk.cloud.damage("server-stuck-powering-off", desk.servers["busy"])
        found = verdicts(plan(desk, "--host", SOURCE, "--host", TARGET, "--exclude", "left", "--to", TARGET))
        assert {name: item["verdict"] for name, item in found.items()} == {
            "runs": "ready",
            "sleeps": "ready",
            "paused": "ready",
            "broken": "impossible",
            "busy": "impossible",
            "there": "nothing-to-do",
        }
        assert "powering-off" in found["busy"]["why"]

    def test_what_an_image_keeps_from_going_live_goes_cold_with_consent(self, make_desk: MakeDesk) -> None:
        images = {"tpm": {"hw_tpm_version": "2.0"}, "secret": {"hw_mem_encryption": "True"}, "pc": {}}
        desk = calm(
            make_desk, servers=[{"name": name, "host": SOURCE, "image_properties": of} for name, of in images.items()]
        )
        found = verdicts(plan(desk, "--host", SOURCE, "--to", TARGET))
        assert {name: item["verdict"] for name, item in found.items()} == {
            **dict.fromkeys(("tpm", "secret"), "needs-consent"),
            "pc": "ready",
        }
        assert ("virtual TPM" in found["tpm"]["why"], "memory is encrypted" in found["secret"]["why"]) == (True, True)
        ended = migrate(desk, "--host", SOURCE, "--to", TARGET, "--cold", "tpm", "--cold", "secret")
        assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
        assert [name for kind, name in sent(desk, "server.migrateLive")] == ["pc"]
        assert set(hosts(desk).values()) == {TARGET}

    def test_a_target_that_is_full_is_told(self, town: Desk) -> None:
        with closing(sqlite3.connect(town.cloud.directory / "lab.sqlite", timeout=10)) as link, link:
            link.execute("UPDATE providers SET memory_mb = 1100 WHERE name = ?", (TARGET,))
        found = verdicts(plan(town, "--host", SOURCE, "--to", TARGET))
        assert sorted(item["verdict"] for item in found.values()) == ["impossible", "ready", "ready"]
        full = next(name for name, item in found.items() if "no room for it" in item["why"])
        ended = migrate(town, "--host", SOURCE, "--to", TARGET)
        assert (ended.code, f"the plan leaves out {full}: impossible" in ended.err) == (0, True), ended.err

    def test_a_source_that_is_down(self, town: Desk) -> None:
        silent(town, SOURCE)
        assert {item["verdict"] for item in verdicts(plan(town, "--host", SOURCE)).values()} == {"impossible"}
        ended = migrate(town, "--host", SOURCE)
        assert (ended.code, "nothing of it can be done" in ended.err, " more)" in ended.err) == (4, True, True)
        assert json.loads(town.stackmend("list", "-f", "json").out) == []


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ([], ["say which servers", "--server"]),
        (["--server", "nobody"], ["no server nobody"]),
        (["--server", "db", "--to", "sim-c99"], ["no compute host sim-c99"]),
        (["--server", "db", "--on-deadline", "panic"], ["on_deadline is one of abort, force-complete, wait"]),
        (["--server", "db", "--deadline", "0"], ["deadline must be 1 or more"]),
        (["--server", "db", "--at-once", "none"], ["at_once takes a whole number"]),
    ],
)
def test_wrong_words(town: Desk, words: list[str], fragments: list[str]) -> None:
    assert_refused(town, town.stackmend("run", "migrate-servers", "--yes", *words), 2, *fragments)


def test_a_target_that_takes_no_servers(town: Desk) -> None:
    disabled(town, TARGET, "a disk is being changed")
    town.cloud.clear_journal()
    ended = town.stackmend("run", "migrate-servers", "--yes", "--server", "db", "--to", TARGET)
    assert_refused(town, ended, 2, TARGET, "disabled")
