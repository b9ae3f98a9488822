"""Before the point of no return a run takes back all it did; beyond it, and where others were at work, it says no."""

from typing import Any

import pytest
from desk import Desk

ACTION = {"service": "compute", "method": "POST"}
DAMAGE = (
    ("volume-available-detached", "db-data"),
    ("volume-attachments-deleted", "db-root"),
    ("volume-error", "web-data"),
    ("volume-attachments-deleted", "idle-data"),
)


def broken(desk: Desk, *names: str) -> dict[str, Any]:
    """Damage, and a nova that reboots none of these servers; the rows as they were before the run."""
    for kind, name in DAMAGE:
        desk.cloud.damage(kind, desk.volumes[name])
    desk.cloud.damage("server-stuck-powering-off", desk.servers["db"])
    for name in names:
        path = f"{desk.servers[name]}/action$"
        desk.cloud.fault("status", status=409, path=path, body="reboot", **ACTION)
    before = desk.rows()
    assert desk.run("--key", "storm", *desk.sql).code == 3
    assert desk.rows() != before
    desk.cloud.clear_faults()
    return before


def revert(desk: Desk, *words: str) -> Any:
    """Take the run back."""
    return desk.stackmend("revert", "storm", "-f", "json", *desk.sql, *words)


def test_everything_is_as_it_was(pair: Desk) -> None:
    before = broken(pair, "db", "web")
    ended = revert(pair)
    assert (ended.code, ended.data["state"]) == (0, "reverted"), ended.err
    assert pair.rows() == before
    assert pair.rebooted() == []


def test_a_reverted_run_gives_its_servers_back_and_has_ended(pair: Desk) -> None:
    broken(pair, "db", "web")
    assert revert(pair).code == 0
    for verb in ("resume", "retry", "revert"):
        ended = pair.stackmend(verb, "storm", *pair.sql)
        assert (ended.code, "Traceback" in ended.err) == (2, False), ended
    assert pair.run("--key", "second", *pair.sql).code == 0
    assert sorted(pair.rebooted()) == ["db", "web"]


def test_reverting_is_not_done_twice(pair: Desk) -> None:
    broken(pair, "db", "web")
    assert revert(pair).code == 0
    pair.cloud.clear_journal()
    assert revert(pair).code == 2
    assert (pair.touched(), pair.calls()) == ([], [])


def test_somebody_else_changed_a_volume_meanwhile(pair: Desk) -> None:
    before = broken(pair, "db", "web")
    pair.execute("cinder", "UPDATE volumes SET status = 'maintenance' WHERE id = ?", pair.volumes["web-data"])
    ended = revert(pair)
    assert (ended.code, ended.data["state"]) == (4, "needs-hands"), ended.err
    assert "somebody else changed it" in ended.err
    assert pair.volumes["web-data"] in ended.err
    now = {row["id"]: row for row in pair.rows()["cinder.volumes"]}
    assert now.pop(pair.volumes["web-data"])["status"] == "maintenance"
    assert now == {row["id"]: row for row in before["cinder.volumes"] if row["id"] in now}
    pair.execute("cinder", "UPDATE volumes SET status = 'in-use' WHERE id = ?", pair.volumes["web-data"])
    assert revert(pair).code == 0
    assert pair.rows() == before


def test_beyond_the_point_of_no_return(pair: Desk) -> None:
    broken(pair, "web")
    rows, calls = pair.rows(), pair.calls()
    ended = revert(pair)
    assert (ended.code, ended.out) == (4, "")
    assert all(word in ended.err for word in (pair.servers["db"], "server.reboot", "--where-possible"))
    assert (pair.rows(), pair.calls()) == (rows, calls)


@pytest.mark.parametrize("words", [["--where-possible"], ["--lane", "web"]], ids=["where possible", "one lane"])
def test_what_can_be_reverted_is(pair: Desk, words: list[str]) -> None:
    before = broken(pair, "web")
    ended = revert(pair, *words)
    assert (ended.code, ended.data["state"]) == (3, "done-with-exceptions"), ended.err
    states = {lane["title"]: lane["state"] for lane in ended.data["lanes"] if lane["stage"] == "recover"}
    assert (states["db"], states["web"]) == ("done", "reverted")
    web = [row for row in before["cinder.volumes"] if row["id"] == pair.volumes["web-data"]]
    assert [row for row in pair.rows()["cinder.volumes"] if row["id"] == pair.volumes["web-data"]] == web


def test_without_sql_the_status_is_put_back_through_the_api(pair: Desk) -> None:
    pair.cloud.damage("volume-error", pair.volumes["web-data"])
    pair.cloud.fault("status", status=409, path="action$", body="reboot", **ACTION)
    before = pair.rows()
    assert pair.run("--key", "storm").code == 3
    pair.cloud.clear_faults()
    assert pair.stackmend("revert", "storm").code == 0
    assert pair.rows() == before
