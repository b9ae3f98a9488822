"""Whatever is wrong: one sentence that says what and where, the documented exit code, and nothing was changed."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from desk import Desk, Ended, MakeDesk, quick

from stackmend.engine.plan import digest_of, from_json
from stackmend.engine.store import run_id_of


def assert_refused(desk: Desk, ended: Ended, code: int, *fragments: str) -> None:
    """The exit code, one sentence on stderr with these words, nothing on stdout, nothing in the cloud."""
    sentences = [line for line in ended.err.splitlines() if line.strip()]
    assert (ended.code, ended.out, len(sentences)) == (code, "", 1), ended
    assert sentences[0].startswith("stackmend: ")
    assert "Traceback" not in ended.err
    assert [fragment for fragment in fragments if fragment not in ended.err] == [], ended.err
    assert (desk.touched(), desk.calls()) == ([], [])


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["power-los"], ["no procedure power-los", "did you mean power-loss?"]),
        (["frobnicate"], ["no procedure frobnicate", "stackmend procedure list"]),
        ([], ["name a procedure"]),
        (["power-loss", "-p", "hosts=sim-c01"], ["no parameter hosts", "did you mean host?"]),
        (["power-loss", "-p", "zzz=1"], ["no parameter zzz", "boot_timeout"]),
        (["power-loss", "-p", "boot_timeout=soon"], ["boot_timeout takes a number, not 'soon'"]),
        (["power-loss", "-p", "boot_timeout=nan"], ["boot_timeout"]),
        (["power-loss", "--ready-checks", "1.5"], ["ready_checks takes a whole number"]),
        (["power-loss", "-p", "ready_checks=0"], ["ready_checks must be 1 or more"]),
        (["power-loss", "--ssh-reboot=perhaps"], ["ssh_reboot takes true or false"]),
        (["power-loss", "-p", "boot_timeout"], ["NAME=VALUE"]),
        (["power-loss", "--boot-timeout", "3", "--boot-timeout", "4"], ["boot_timeout takes one value"]),
        (["power-loss", "--server", "nobody"], ["no server nobody"]),
        (["power-loss", "--exclude", "nobody"], ["no server nobody"]),
        (["power-loss", "--host", "sim-c99"], ["no compute host sim-c99"]),
        (["power-loss", "--project", "none-such"], ["no project none-such"]),
        (["power-loss", "--server", "web", "--host", "sim-c01"], ["the capture is empty"]),
        (["power-loss", "--capture", "/nowhere/capture.json"], ["/nowhere/capture.json", "can't be read"]),
        (["power-loss", "--sql", "cinder"], ["--sql takes NAME=VALUE"]),
        (["power-loss", "--sql", "keystone=sqlite:////x"], ["no database keystone", "nova, cinder, neutron"]),
        (["power-loss", "--sql", "cinder=/nowhere/cinder.conf"], ["/nowhere/cinder.conf could not be read"]),
        (["power-loss", "--sql", "cinder=sqlite:////nowhere/x"], ["cinder database /nowhere/x does not exist"]),
        (["power-loss", "--sql", "cinder=postgresql://h/x"], ["postgresql", "MySQL"]),
        (["power-loss", "--sql", "cinder=://"], ["cinder", "no database URL"]),
        (["power-loss", "--plan", "plan.json"], ["--plan executes that plan as it is"]),
        (["--plan", "/nowhere/plan.json"], ["/nowhere/plan.json can't be read"]),
        (["--plan", "/tmp"], ["/tmp can't be read"]),
    ],
)
def test_wrong_words(pair: Desk, words: list[str], fragments: list[str]) -> None:
    assert_refused(pair, pair.stackmend("run", *words, "--yes"), 2, *fragments)
    assert pair.stackmend("list", "-f", "json").data == []


@pytest.mark.parametrize("words", [["run", "--frobnicate"], ["status"], ["resume"], ["skip", "last"], ["nonsense"]])
def test_a_command_that_does_not_exist(pair: Desk, words: list[str]) -> None:
    ended = pair.stackmend(*words)
    assert ended.code == 2
    told = ended.out + ended.err
    assert words[-1] in told or "required" in told
    assert "Traceback" not in told


class TestCloud:
    """The cloud is away, unknown, or says no."""

    @pytest.mark.parametrize("service", ["identity", "compute", "volume", "network"])
    def test_a_service_that_is_down(self, pair: Desk, service: str) -> None:
        pair.settings(patience=0.2)
        pair.cloud.service(service, up=False)
        port = str(urlsplit(pair.cloud.description["urls"][service]).port)
        assert_refused(pair, pair.run(), 7, port)

    def test_a_cloud_that_is_not_in_the_file(self, pair: Desk) -> None:
        assert_refused(pair, pair.stackmend("--os-cloud", "nowhere", "plan", "power-loss"), 2, "nowhere", "clouds.yaml")

    def test_no_cloud_at_all(self, pair: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OS_CLOUD")
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", pair.path("none.yaml"))
        assert_refused(pair, pair.run(), 2, "clouds.yaml")

    def test_a_wrong_password(self, pair: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        clouds = yaml.safe_load(Path(pair.cloud.description["clouds_yaml"]).read_text())
        clouds["clouds"]["sim"]["auth"]["password"] = "wrong-and-secret"
        Path(pair.path("clouds.yaml")).write_text(yaml.safe_dump(clouds))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", pair.path("clouds.yaml"))
        ended = pair.run()
        assert_refused(pair, ended, 7, "does not accept the credentials", "admin")
        assert "secret" not in ended.err

    def test_a_member_has_not_the_rights(self, pair: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OS_CLOUD", "sim-member")
        assert_refused(pair, pair.run(), 7, "not allowed", "member", "admin")

    def test_an_empty_cloud(self, make_desk: MakeDesk) -> None:
        desk = make_desk(hosts=1, servers=[])
        assert_refused(desk, desk.run(), 2, "the capture is empty", "right cloud")


def changed(plan: dict[str, Any], change: Callable[[dict[str, Any]], None], digest: bool = True) -> str:
    """The plan with a change, and (as a forger would) the digest that fits it."""
    change(plan)
    if digest:
        plan["digest"] = digest_of(plan)
    return json.dumps(plan)


def _elsewhere(plan: dict[str, Any]) -> None:
    plan["cloud"]["auth_url"] = "http://elsewhere.example.com/v3"


PLANS: dict[str, tuple[Callable[[dict[str, Any]], str], str]] = {
    "edited": (lambda plan: changed(plan, lambda p: p["lanes"][1].update(title="x"), digest=False), "was changed"),
    "edited digest": (lambda plan: changed(plan, lambda p: p.update(digest="0" * 64), digest=False), "was changed"),
    "another cloud's": (lambda plan: changed(plan, _elsewhere), "http://elsewhere.example.com/v3"),
    "another version's": (lambda plan: changed(plan, lambda p: p.update(version="99")), "version 99"),
    "another procedure's": (lambda plan: changed(plan, lambda p: p.update(procedure="gone")), "no procedure gone"),
    "another format": (lambda plan: changed(plan, lambda p: p.update(format=99)), "format 1"),
    "with more": (lambda plan: changed(plan, lambda p: p.update(extra=1)), "extra"),
    "with less": (lambda plan: changed(plan, lambda p: p.pop("lanes") and None), "lanes"),
    "of wrong lanes": (lambda plan: changed(plan, lambda p: p.update(lanes=[1])), "not a complete plan"),
    "no JSON": (lambda plan: "{", "is not JSON"),
    "not text": (lambda plan: "\0", "is not JSON"),
    "deep": (lambda plan: "[" * 100_000, "is not JSON"),
    "empty": (lambda plan: "", "is not JSON"),
    "a list": (lambda plan: "[]", "is not a plan"),
}


@pytest.mark.parametrize("kind", PLANS)
def test_a_plan_that_must_not_run(pair: Desk, kind: str) -> None:
    make, fragment = PLANS[kind]
    path = Path(pair.path("plan.json"))
    path.write_text(make(pair.plan()))
    assert_refused(pair, pair.stackmend("run", "--plan", str(path), "--yes"), 2, fragment)
    assert pair.stackmend("list", "-f", "json").data == []


Captured = dict[str, Any]
CAPTURES: dict[str, tuple[Callable[[Captured], Any], str]] = {
    "edited": (lambda found: {**found, "servers": found["servers"][1:]}, "was changed after it was made"),
    "another cloud's": (lambda found: _forged(found, cloud={"auth_url": "http://there/v3"}), "http://there/v3"),
    "empty": (lambda found: _forged(found, servers=[]), "is empty"),
    "of another format": (lambda found: _forged(found, format=99), "format 99"),
    "no capture": (lambda found: {"servers": []}, "is not a capture"),
    "of no servers": (lambda found: {**found, "servers": 3}, "is not a capture"),
    "a list": (lambda found: [], "is not a capture"),
}


def _forged(found: Captured, **changes: Any) -> Captured:
    new = {**found, **changes}
    return {**new, "digest": digest_of(new)}


@pytest.mark.parametrize("kind", CAPTURES)
def test_a_capture_that_is_no_use(pair: Desk, kind: str) -> None:
    make, fragment = CAPTURES[kind]
    path = Path(pair.path("capture.json"))
    assert pair.stackmend("capture", "power-loss", "-o", str(path)).code == 0
    path.write_text(json.dumps(make(json.loads(path.read_text()))))
    assert_refused(pair, pair.run("--capture", str(path)), 2, fragment)


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
        pair.settings(patience=0.2)
        ended = pair.run("--sql", "nova=mysql+pymysql://nova:swordfish@127.0.0.1:1/nova")
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
            ("mysql+pymysql://u:swordfish@127.0.0.1:1/runs", 8, "127.0.0.1:1"),
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
