"""Whatever is wrong: one sentence that says what and where, the documented exit code, and nothing was changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from desk import Desk, MakeDesk, assert_refused

from stackmend.engine.plan import digest_of


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
