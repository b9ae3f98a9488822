"""The file of rules: what is wrong with it is said in one sentence, before anything listens."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import Desk
from listening import EVACUATE, SECRET, down, group

from stackmend.alarms import configuration, rules
from stackmend.alarms.alarm import alarm
from stackmend.alarms.credentials import Guard
from stackmend.errors import BadInput


def rule(**change: Any) -> dict[str, Any]:
    return {"rules": [{**EVACUATE, **change}]}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"rulez": []}, "says rulez, which is no setting; did you mean rules?"),
        ({"rules": {}}, "must hold its rules as a list"),
        ({"rules": ["evacuate"]}, "rule 1, holds no names and values"),
        ({"rules": [EVACUATE, EVACUATE]}, "two rules named host-down"),
        ({"listen": "8990"}, "listens at 8990, which is no ADDRESS:PORT"),
        ({"listen": "0.0.0.0:99999"}, "which is no ADDRESS:PORT"),
        ({"certificate": "/tls.crt"}, "a certificate or a key, and not both"),
        ({"keep": 0}, "gives keep 0: it must be more than 0"),
        ({"sources": {"nagios": {}}}, "trusts nagios, which is no source: there are aodh, "),
        ({"sources": {"aodh": {"password": "x"}}}, "sources.aodh, says password, which is no setting"),
        ({"sources": {"aodh": {"keystone": ["admin"]}}}, "names no file with [keystone_authtoken]"),
        (rule(name=""), "rule 1, has no name"),
        (rule(name="x" * 65), "has a name of more than 64 characters"),
        (rule(source="nagios"), "is for nagios, which is no source"),
        (rule(procedure="evacuate"), "there is no procedure evacuate; did you mean evacuate-host?"),
        (rule(procedure=""), "must name a procedure"),
        (rule(parameters={"hots": "{host}"}), "evacuate-host has no parameter hots"),
        (rule(parameters={"host": "{host}", "most_down": "many"}), "parameter most_down takes a number, not 'many'"),
        (rule(parameters={"host": "{hostname}"}), "would fill in {hostname}, which is unknown; known are label.NAME, "),
        (rule(match={"severty": "critical"}), "matches severty, which no alarm has"),
        (rule(match={"severity": 1}), "no text (in quotes), list of texts or {regex: ...}: 1"),
        (rule(match={"name": {"regex": "("}}), "with an expression that is none"),
        (rule(match={"name": {"regx": "a"}}), "{regex: ...}"),
        (rule(approval="yes"), "says approval: yes, which is neither needed nor not"),
        (rule(approval=False), "is no text"),
        (rule(start="workflow"), "says start: workflow, which is neither run nor mistral"),
        (rule(start="mistral"), "must name a workflow"),
        (rule(workflow="w"), "must name a procedure, and its parameters"),
        (rule(brake={"most": 3}), "write brake: {most: 3, seconds: 3600}"),
        (rule(brake={"most": 0, "seconds": 10}), "has a brake that can't hold"),
        (rule(quiet=-1), "gives quiet -1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(data: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput) as caught:
        configuration.parsed(data, "the file")
    assert str(caught.value).startswith(("the file", "there is no procedure", "parameter", "evacuate-host"))
    assert told in str(caught.value)


@pytest.mark.parametrize("content", [b"rules: [", b"\xff", b"- a", b"a: !!python/object:os.system {}"])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "alarms.yaml").write_bytes(content)
    with pytest.raises(BadInput, match=r"^the file of rules .*alarms.yaml"):
        configuration.load(str(tmp_path / "alarms.yaml"))
    with pytest.raises(BadInput, match="can't be read"):
        configuration.load(str(tmp_path / "missing.yaml"))


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        ("short", 0o600, "no secret of 16 characters"),
        ("", 0o600, "no secret of 16 characters"),
        (SECRET, 0o644, "can be read by everybody"),
        (None, 0, "can't be read"),
    ],
)
def test_secrets_come_from_files_that_others_can_not_read(
    tmp_path: Path, content: str | None, mode: int, told: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)
    with pytest.raises(BadInput, match=told):
        Guard("aodh", configuration.Trust(token=str(file)), None)


def test_a_secret_in_the_rules_themselves_is_refused_and_not_told() -> None:
    with pytest.raises(BadInput, match="neither the path of a file") as caught:
        configuration.secrets(SECRET)
    assert SECRET not in str(caught.value)


def test_a_secret_may_come_from_the_environment_and_the_next_one_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_SECRET", SECRET)
    assert configuration.secrets("$THE_SECRET") == (SECRET.encode(),)
    (tmp_path / "both").write_text(f"{SECRET}\n\nthe next one of the secrets\n", encoding="utf-8")
    (tmp_path / "both").chmod(0o600)
    assert configuration.secrets(str(tmp_path / "both")) == (SECRET.encode(), b"the next one of the secrets")


def started(match: dict[str, Any], **more: Any) -> rules.Start | None:
    told = {"host": "c01", "severity": "critical", "labels": {"rack": "r7", "team": "ops"}}
    one = alarm("alertmanager", "1", "compute-c09-down", "firing", **told)
    return rules.first(configuration.parsed(rule(match=match, **more), "the file").rules, one)


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"severity": "critical", "label.rack": ["r1", "r7"]}, True),
        ({"severity": "critical", "label.rack": ["r1", "r2"]}, False),
        ({"name": {"regex": "compute-.*"}}, True),
        ({"name": {"regex": "compute"}}, False),
        ({"label.absent": ""}, True),
        ({"label.absent": {"regex": ".+"}}, False),
    ],
)
def test_what_a_rule_is_for(match: dict[str, Any], fits: bool) -> None:
    assert (started(match) is not None) is fits
    assert started(match, source=["aodh", "zaqar"]) is None


def test_a_name_in_an_expression_can_be_filled_in_and_host_is_the_host() -> None:
    start = started(
        {"name": {"regex": "compute-(?P<host>c[0-9]+)-(?P<what>.*)"}},
        parameters={"host": "{host}", "dead": "{what}: {label.team}", "tag": ["rack={label.rack}"]},
    )
    assert start is not None
    assert start.target == "evacuate-host/c09"
    assert start.order("k")["parameters"] == {"host": "c09", "dead": "down: ops", "tag": ["rack=r7"]}


def test_a_key_may_gather_what_a_rule_would_tell_apart() -> None:
    start = started({}, key="rack/{label.rack}")
    assert start is not None
    assert start.target == "rack/r7"


def test_alarm_test_tells_what_would_be_started_and_changes_nothing(shop: Desk) -> None:
    file = Path(shop.path("alarms.yaml"))
    file.write_text(yaml.safe_dump(rule(wait=30, brake={"most": 3, "seconds": 600})), encoding="utf-8")
    Path(shop.path("body.json")).write_text(json.dumps(group(down("c01"), down("c02", status="resolved"))))
    words = ("alarm", "test", "--rules", str(file), "--source", "alertmanager", shop.path("body.json"))
    first, second = shop.stackmend(*words, "-f", "json").data
    assert first["rule"] == "host-down"
    assert first["start"]["parameters"]["host"] == "c01"
    assert first["why"] == "after 30 s, if it is not over by then, unless 3 others came within 600 s"
    assert (second["rule"], second["why"]) == (None, "it is ok: it starts nothing")
    assert "evacuate-host" in shop.stackmend(*words).out
    assert not shop.store.exists()
