"""The commands about alarms, as an operator types them."""

from pathlib import Path

import pytest
from desk import Desk
from listening import EVACUATE, Listening, down, over

RULE = {**EVACUATE, "brake": {"most": 1, "seconds": 600}}


@pytest.fixture
def words(tmp_path: Path, shop: Desk) -> list[str]:
    """A store with an alarm that was started, one that is held, and one that is over."""
    assert shop.store
    with Listening(tmp_path, [RULE]) as listening:
        listening.alert(down("c01"))
        listening.alert(down("c02"))
        listening.alert(down("c03"))
        listening.alert(over("c03"))
        listening.verdicts()
    return ["--store", f"sqlite:///{tmp_path}/runs.sqlite"]


def test_list_shows_what_came_and_what_became_of_it(shop: Desk, words: list[str]) -> None:
    rows = shop.stackmend("alarm", "list", "-f", "json", *words).data
    assert [(row["Alarm"], row["Host"], row["Verdict"]) for row in rows] == [
        (4, "c03", "noted"),
        (3, "c03", "resolved"),
        (2, "c02", "held"),
        (1, "c01", "started"),
    ]
    held = shop.stackmend("alarm", "list", "--verdict", "held", "-f", "json", *words).data
    assert [row["Alarm"] for row in held] == [2]


def test_show_tells_of_the_order(shop: Desk, words: list[str]) -> None:
    shown = shop.stackmend("alarm", "show", "1", "-f", "json", *words).data
    assert shown["order"]["state"] == "waiting"
    assert shown["order"]["key"] == shown["key"]
    assert shown["labels"]["summary"] == "c01 does not answer"
    assert shop.stackmend("alarm", "show", shown["uuid"], *words).code == 0
    missing = shop.stackmend("alarm", "show", "99", *words)
    assert (missing.code, missing.err.startswith("stackmend: there is no alarm 99 in sqlite:///")) == (2, True)


def test_release_lets_go_on_what_the_brake_holds_and_nothing_else(shop: Desk, words: list[str]) -> None:
    assert shop.stackmend("alarm", "release", "2", *words).code == 0
    assert shop.stackmend("alarm", "show", "2", "-f", "json", *words).data["verdict"] == "starting"
    for number, verdict in (("1", "started"), ("2", "starting"), ("3", "resolved")):
        refused = shop.stackmend("alarm", "release", number, *words)
        assert refused.code == 2
        assert f"alarm {number} is not held by the brake: it is {verdict}" in refused.err


def test_listen_without_rules_says_what_to_write(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", shop.path("home"))
    refused = shop.stackmend("listen")
    assert (refused.code, "--rules" in refused.err) == (2, True)
