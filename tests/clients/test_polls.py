"""Shared polls on the simulated cloud: one list for all that wait, and never a stale row taken for proof."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from desk import Desk
from waiting import until

from stackmend.clients.cloud import Cloud
from stackmend.clients.polls import Polls
from stackmend.errors import NeedsHands


def go_on() -> None:
    """Nothing stops these waits."""


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
    # Nobody waits any more: nothing more is asked.
    quiet = len(desk.cloud.calls())
    polls.computes.look("sim-c01")
    until(lambda: len(desk.cloud.calls()) > quiet, "the look at the computes")
    assert not [call for call in desk.cloud.calls()[quiet:] if call["path"].endswith("/servers/detail")]
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
    volumes = list(desk.volumes.values())
    found = polls.volumes.wait_all({volume: lambda row: row and row["id"] for volume in volumes}, 10, go_on)
    assert (found, len(volumes) > 2) == ({volume: volume for volume in volumes}, True)
    assert len([call for call in desk.cloud.calls() if call["path"].endswith("/volumes/detail")]) == 1
    late = {volumes[0]: lambda row: row, volumes[1]: lambda _: None}
    with pytest.raises(NeedsHands, match=f"volume {volumes[1]}: not as it should be"):
        polls.volumes.wait_all(late, 3, go_on)
    assert polls.volumes.wait_all({}, 10, go_on) == {}
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
