"""Settings, databases, run stores and runs that are wrong or not there: one sentence, and nothing was changed."""

import itertools
from pathlib import Path

import pytest
from desk import Desk, assert_refused, quick

from stackmend.engine.plan import from_json
from stackmend.engine.store import run_id_of


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("lane: 3", ["says lane", "did you mean lanes?"]),
        ("zzz: 3", ["says zzz", "known are"]),
        ("lanes: [", ["is not YAML, line"]),
        ("lanes: many", ["lanes", "wrong kind"]),
        ("lanes: 2.5", ["lanes", "whole number"]),
        ("lanes: 0", ["lanes 0", "more than 0"]),
        ("lease: true", ["lease", "wrong kind"]),
        ("lease: .nan", ["lease", "more than 0"]),
        ("ssh: debian", ["ssh", "wrong kind"]),
        ("ssh: {users: 3}", ["ssh", "users"]),
        ("ssh: {prot: 22}", ["ssh", "prot"]),
        ("ssh: {port: many}", ["ssh", "port"]),
        ("databases: {nova: 3}", ["databases", "nova"]),
        ("databases: {glance: sqlite:///x}", ["glance", "nova, cinder, neutron"]),
        ("store: 7", ["store", "wrong kind"]),
        ("- lanes", ["must hold names and values"]),
    ],
)
def test_wrong_settings(pair: Desk, text: str, fragments: list[str]) -> None:
    path = pair.path("other.yaml")
    Path(path).write_text(text)
    words = ("--config", path, "--store", f"sqlite:///{pair.store}", *quick())
    assert_refused(pair, pair.stackmend("run", "power-loss", "--yes", *words), 2, *fragments)


def test_settings_that_are_not_there(pair: Desk) -> None:
    assert_refused(pair, pair.run("--config", pair.path("none.yaml")), 2, "none.yaml can't be read")


class TestDatabases:
    """The services' databases: files that are something else."""

    def test_a_conf_without_connection(self, pair: Desk) -> None:
        Path(pair.path("cinder.conf")).write_text("[DEFAULT]\ndebug = true\n")
        assert_refused(pair, pair.run("--sql", f"cinder={pair.path('cinder.conf')}"), 2, "cinder.conf", "connection")

    def test_a_file_that_is_no_database(self, pair: Desk) -> None:
        Path(pair.path("cinder.sqlite")).write_text("no database" * 100)
        assert_refused(pair, pair.run("--sql", f"cinder=sqlite:///{pair.path('cinder.sqlite')}"), 2, "cinder")

    @pytest.mark.parametrize("name", ["nova", "cinder"])
    def test_the_database_of_something_else(self, pair: Desk, name: str) -> None:
        other = pair.cloud.description["databases"]["neutron"]
        assert_refused(pair, pair.run("--sql", f"{name}={other}"), 2, f"{name} database has no table")

    def test_a_server_that_is_away(self, pair: Desk) -> None:
        pair.settings(patience=0.2, databases={"nova": "mysql+pymysql://nova:swordfish@127.0.0.1:1/nova"})
        ended = pair.run()
        assert_refused(pair, ended, 7, "127.0.0.1:1", "nova database")
        assert "swordfish" not in ended.err


class TestStore:
    """The run store: somewhere else, broken, or not to be written."""

    @pytest.mark.parametrize(
        ("url", "code", "fragment"),
        [
            ("nonsense", 2, "is not a database URL"),
            ("redis://localhost/0", 8, "redis"),
            ("sqlite://", 2, "must be a file"),
            ("sqlite:////proc/nowhere/runs.sqlite", 8, "/proc/nowhere"),
            ("mysql+pymysql://u@127.0.0.1:1/runs", 8, "127.0.0.1:1"),
            ("mysql+pymysql://u:swordfish@127.0.0.1:1/runs", 2, "$STACKMEND_STORE"),
        ],
    )
    def test_a_url_that_does_not_do(self, pair: Desk, url: str, code: int, fragment: str) -> None:
        for words in (["run", "power-loss", "--yes"], ["list"], ["status", "last"]):
            ended = pair.stackmend(*words, "--store", url)
            assert_refused(pair, ended, code, fragment)
            assert "swordfish" not in ended.err

    def test_a_directory_that_is_a_file(self, pair: Desk) -> None:
        Path(pair.path("file")).touch()
        url = f"sqlite:///{pair.path('file')}/runs.sqlite"
        assert_refused(pair, pair.stackmend("run", "power-loss", "--yes", "--store", url), 8, pair.path("file"))

    def test_a_store_that_is_broken(self, pair: Desk) -> None:
        pair.store.write_bytes(b"SQLite format 3\0" + b"broken" * 1000)
        for words in (["run", "power-loss", "--yes"], ["list"], ["status", "last"]):
            assert_refused(pair, pair.stackmend(*words), 8, str(pair.store), "--store")

    def test_a_store_of_something_else(self, pair: Desk) -> None:
        pair.store.write_text("shopping list\n" * 100)
        assert_refused(pair, pair.stackmend("list"), 8, str(pair.store))


class TestRuns:
    """A run that is not there, not the only one, or not to be resumed."""

    @pytest.mark.parametrize(
        "words",
        [
            ["status", "nosuch"],
            ["resume", "nosuch"],
            ["retry", "nosuch"],
            ["revert", "nosuch"],
            ["report", "nosuch"],
            ["show", "nosuch"],
            ["watch", "nosuch"],
            ["approve", "nosuch"],
            ["abandon", "nosuch"],
            ["skip", "nosuch", "step", "--reason", "x"],
            ["status", "last"],
        ],
        ids=lambda words: words[0] if words[1] == "nosuch" else words[1],
    )
    def test_unknown(self, pair: Desk, words: list[str]) -> None:
        assert_refused(pair, pair.stackmend(*words), 2, f"no run {words[1]}", "stackmend list")

    def test_ambiguous(self, pair: Desk) -> None:
        plan = from_json(pair.plan("-o", pair.path("plan.json")), "plan")
        seen: dict[str, str] = {}
        for number in itertools.count():
            key, start = f"incident-{number}", run_id_of(plan, f"incident-{number}")[:4]
            if start in seen:
                break
            seen[start] = key
        for name in (seen[start], key):
            assert pair.stackmend("run", "--plan", pair.path("plan.json"), "--key", name).code == 6
        assert_refused(pair, pair.stackmend("status", start), 2, f"more than one run is named {start}")

    def test_ended(self, pair: Desk) -> None:
        assert pair.run("--server", "web").code == 0
        pair.cloud.clear_journal()
        assert_refused(pair, pair.stackmend("resume", "last"), 2, "has ended: done", "stackmend report")
        assert_refused(pair, pair.stackmend("retry", "last"), 2, "no failed step")
        assert_refused(pair, pair.stackmend("abandon", "last"), 2, "has ended: done")
        reboot = f"server.reboot:{pair.servers['web']}"
        assert_refused(pair, pair.stackmend("skip", "last", reboot, "--reason", "x"), 2, "is done")
        assert_refused(pair, pair.stackmend("skip", "last", "no.step", "--reason", "x"), 2, "no step no.step")
        assert_refused(pair, pair.stackmend("revert", "last", "--lane", "nobody"), 2, "no lane nobody")

    @pytest.mark.parametrize(
        "words",
        [
            ["plan", "power-loss", "-o", "/nowhere/plan.json"],
            ["capture", "power-loss", "-o", "/nowhere/capture.json"],
        ],
    )
    def test_a_file_that_can_not_be_written(self, pair: Desk, words: list[str]) -> None:
        ended = pair.stackmend(*words)
        assert (ended.code, "can't be written" in ended.err, "Traceback" in ended.err) == (2, True, False)

    @pytest.mark.parametrize("kind", ["html", "json", "text"])
    def test_a_report_that_can_not_be_written(self, pair: Desk, kind: str) -> None:
        assert pair.stackmend("run", "power-loss").code == 6
        assert_refused(
            pair, pair.stackmend("report", "last", f"--{kind}", "/nowhere/x"), 2, "/nowhere/x can't be written"
        )
