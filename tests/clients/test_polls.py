"""Shared polls on the simulated cloud: one list for all that wait, and never a stale row taken for proof."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from desk import Desk
from waiting import until

from stackmend.clients.cloud import Cloud
from stackmend.clients.poll import Awaited, Waiting
from stackmend.clients.polls import Polls
from stackmend.errors import NeedsHands


def go_on() -> None:
    """Nothing stops these waits."""


def assert_quiet(desk: Desk, polls: Polls) -> None:
    """Nobody waits for servers or volumes any more: nothing is asked about them."""
    quiet = len(desk.cloud.calls())
    for _ in range(3):
        polls.computes.look("sim-c01")
    until(lambda: len(desk.cloud.calls()) > quiet + 2, "the looks at the computes")
    asked = [call["path"] for call in desk.cloud.calls()[quiet:]]
    assert not [path for path in asked if path.endswith(("/servers/detail", "/volumes/detail"))]


def listed(row: dict[str, Any] | None) -> list[str]:
    return [item["id"] for item in (row or {})["os-extended-volumes:volumes_attached"]]


def test_a_volume_that_comes_without_the_server_row_changing(make_desk: Any) -> None:
    """Nova's changes-since does not list a server for a volume that was attached to it."""
    desk: Desk = make_desk(canned="demo")
    server, volume = desk.servers["web-1"], desk.volumes["web-1-vol1"]
    cloud = Cloud.connect("sim")
    polls = Polls(cloud, 0.05)
    desk.execute("nova", "UPDATE block_device_mapping SET deleted = id WHERE volume_id = ?", volume)
    assert listed(polls.servers.look(server)) == []
    # Another server changes, a minute later: from then on older rows are not listed any more.
    later = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%d %H:%M:%S")
    desk.execute("nova", "UPDATE instances SET updated_at = ? WHERE uuid = ?", later, desk.servers["db-1"])
    assert polls.servers.look(desk.servers["db-1"]) is not None
    desk.execute("nova", "UPDATE block_device_mapping SET deleted = 0 WHERE volume_id = ?", volume)
    assert listed(polls.servers.look(server, afresh=True)) == [volume]
    assert listed(polls.servers.look(server)) == [volume]
    cloud.close()


def test_many_that_wait_share_one_list(make_desk: Any) -> None:
    """A hundred looks at once cost a few lists, not a hundred."""
    from concurrent.futures import ThreadPoolExecutor

    desk: Desk = make_desk(canned="demo")
    cloud = Cloud.connect("sim")
    polls = Polls(cloud, 0.4)
    before = len(desk.cloud.calls())
    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(polls.servers.look, [desk.servers["web-1"]] * 100))
    assert all(row is not None and row["name"] == "web-1" for row in found)
    lists = [call for call in desk.cloud.calls()[before:] if call["path"].endswith("/servers/detail")]
    assert 1 <= len(lists) <= 4
    cloud.close()


def test_a_wait_that_ends_at_its_deadline(make_desk: Any) -> None:
    """It says what it waited for, and whether it was there at all."""
    desk: Desk = make_desk(canned="demo")
    cloud = Cloud.connect("sim")
    polls = Polls(cloud, 0.05)
    with pytest.raises(NeedsHands, match="not as it should be after"):
        polls.servers.wait(desk.servers["web-1"], lambda _: None, 3, go_on)
    with pytest.raises(NeedsHands, match="not to be seen"):
        polls.servers.wait("no-such-server", lambda row: row, 3, go_on)
    assert_quiet(desk, polls)
    cloud.close()


def test_what_is_not_there_is_asked_about_each_time(make_desk: Any) -> None:
    """How long it has not been there may be what is waited for."""
    make_desk(canned="demo")
    cloud = Cloud.connect("sim")
    polls, asked = Polls(cloud, 0.05), iter(range(100))
    found = polls.migrations.wait("no-such-server", lambda row: (row is None and next(asked) == 2) or None, 10, go_on)
    assert found is True
    cloud.close()


def test_several_rows_are_waited_for_at_once(make_desk: Any) -> None:
    """One list settles them all; one that is late ends the wait for every one."""
    desk: Desk = make_desk(canned="demo")
    cloud = Cloud.connect("sim")
    polls = Polls(cloud, 0.4)
    server, volumes = desk.servers["web-1"], list(desk.volumes.values())
    awaited = [Awaited(polls.volumes, volume, lambda row: row and row["id"]) for volume in volumes]
    awaited.append(Awaited(polls.servers, server, lambda row: row and row["name"]))
    found = Waiting(awaited, 10).begin(go_on).result()
    assert (found, len(volumes) > 2) == ([*volumes, "web-1"], True)
    for kind in ("volumes", "servers"):
        assert len([call for call in desk.cloud.calls() if call["path"].endswith(f"/{kind}/detail")]) == 1
    assert Waiting([], 10).begin(go_on).result() == []
    cloud.close()


def test_of_several_rows_the_first_that_is_late_is_named(make_desk: Any) -> None:
    """By what is wrong with it, where that can be told; and then nothing is asked for any of them."""
    desk: Desk = make_desk(canned="demo")
    cloud = Cloud.connect("sim")
    polls = Polls(cloud, 0.05)
    server, (first, second, *_) = desk.servers["web-1"], desk.volumes.values()
    late = [
        Awaited(polls.volumes, first, lambda row: row),
        Awaited(polls.volumes, second, lambda _: None),
        Awaited(polls.servers, server, lambda _: None, lambda row: f"{row['name']} is no good" if row else ""),
    ]
    with pytest.raises(NeedsHands, match=f"volume {second}: not as it should be"):
        Waiting(late, 3).begin(go_on).result()
    with pytest.raises(NeedsHands, match="web-1 is no good"):
        Waiting(late[::2], 3).begin(go_on).result()
    assert_quiet(desk, polls)
    cloud.close()


def test_what_a_row_shows_may_end_the_wait_for_all_at_once(make_desk: Any) -> None:
    """One that is gone will not come back: the others are not waited for until their deadline."""
    desk: Desk = make_desk(canned="demo")
    cloud = Cloud.connect("sim")
    polls = Polls(cloud, 0.05)

    def gone(row: dict[str, Any] | None) -> None:
        raise NeedsHands("it is gone")

    awaited = [Awaited(polls.servers, desk.servers["web-1"], lambda _: None), Awaited(polls.volumes, "none", gone)]
    over = Waiting(awaited, 60).begin(go_on)
    assert str(over.exception(10)) == "it is gone"
    assert_quiet(desk, polls)
    cloud.close()


def test_equal_texts_of_rows_are_one(make_desk: Any) -> None:
    """Tens of thousands of rows are kept: what they have in common is in memory once."""
    desk: Desk = make_desk(canned="demo")
    cloud = Cloud.connect("sim")
    polls = Polls(cloud, 0.05)
    rows = [polls.servers.look(desk.servers[name]) for name in ("web-1", "db-1")]
    assert rows[0]["status"] is rows[1]["status"]
    volume = polls.volumes.look(desk.volumes["web-1-vol1"])
    assert volume["attachments"][0]["server_id"] is rows[0]["id"]
    cloud.close()
