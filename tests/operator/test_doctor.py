"""Whether a recovery would find all it needs, tried before it is needed."""

import pytest
from desk import Desk


def checks(desk: Desk, *words: str) -> tuple[int, dict[str, bool]]:
    """The exit code, and what was found in order."""
    ended = desk.stackmend("doctor", "-f", "json", *words)
    assert "Traceback" not in ended.err
    return ended.code, {item["check"]: item["ok"] for item in ended.data}


def test_all_is_well(pair: Desk) -> None:
    code, found = checks(pair, *pair.sql)
    assert code == 0
    assert found == dict.fromkeys(
        ["run store", "cloud", "rights", "volumes", "ports", "services", "database nova", "database cinder"], True
    )


def test_the_cloud_is_away(pair: Desk) -> None:
    pair.settings(patience=0.1)
    pair.cloud.service("identity", up=False)
    assert checks(pair) == (7, {"run store": True, "cloud": False})


def test_one_service_is_away(pair: Desk) -> None:
    pair.settings(patience=0.1)
    pair.cloud.service("volume", up=False)
    code, found = checks(pair)
    assert (code, found["rights"], found["volumes"], found["services"]) == (7, True, False, False)


def test_a_member_is_told_what_is_missing(pair: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLOUD", "sim-member")
    code, found = checks(pair)
    assert (code, found["cloud"], found["rights"]) == (7, True, False)


def test_a_service_that_is_not_up(pair: Desk) -> None:
    pair.cloud.host("sim-ctl", "kill", "nova-scheduler")
    pair.cloud.damage("heartbeat-stale", "sim-ctl")
    code, found = checks(pair)
    assert (code, found["services"]) == (4, False)


def test_the_database_of_something_else(pair: Desk) -> None:
    code, found = checks(pair, "--sql", f"cinder={pair.cloud.description['databases']['neutron']}")
    assert (code, found["database cinder"]) == (2, False)


def test_a_store_that_is_broken(pair: Desk) -> None:
    pair.store.write_text("shopping list\n" * 100)
    code, found = checks(pair)
    assert (code, found["run store"], found["cloud"]) == (8, False, True)
