"""Cinder before it had attachments of their own: the guides' statements, for the captured volumes only, in order."""

from typing import Any

from desk import Desk
from effects import happened, unplanned

COLUMNS = ("id", "status", "attach_status", "instance_uuid", "mountpoint", "attached_host")


def attachments(desk: Desk) -> list[dict[str, Any]]:
    """Where every volume hangs."""
    return [{name: row[name] for name in COLUMNS} for row in desk.rows()["cinder.volumes"]]


def test_the_guides_statements_are_scoped_and_in_their_order(old_pair: Desk) -> None:
    plan = old_pair.plan(*old_pair.sql)
    volume = old_pair.volumes["web-data"]
    (lane,) = [lane for lane in plan["lanes"] if lane["title"] == "web"]
    (reset,) = [step for step in lane["steps"] if step["name"].startswith("volume.legacy-reset")]
    texts = [effect["text"] for effect in reset["effects"]]
    assert [text.partition(" SET ")[2].partition(" WHERE")[0] for text in texts] == [
        "mountpoint = NULL",
        "status = 'available'",
        "attach_status = 'detached'",
        "instance_uuid = NULL",
    ]
    assert all(f"WHERE id = '{volume}'" in text for text in texts)


def test_every_server_comes_back_with_its_volumes(old_pair: Desk) -> None:
    before, plan = attachments(old_pair), old_pair.plan(*old_pair.sql)
    assert old_pair.run(*old_pair.sql).code == 0
    assert unplanned(plan, happened(old_pair)) == []
    assert sorted(old_pair.rebooted()) == ["db", "web"]
    assert attachments(old_pair) == before


def test_only_the_volumes_of_the_scope_are_reset(old_pair: Desk) -> None:
    assert old_pair.run("--server", "web", *old_pair.sql).code == 0
    reset = {effect["target"] for effect in old_pair.cloud.journal("sql.") if effect["table"] == "volumes"}
    assert reset == {old_pair.volumes["web-data"]}


def test_a_reset_is_reverted(old_pair: Desk) -> None:
    before = old_pair.rows()
    old_pair.cloud.fault("status", status=409, path="action$", body="reboot", service="compute", method="POST")
    assert old_pair.run("--key", "storm", *old_pair.sql).code == 3
    assert old_pair.rows() != before
    old_pair.cloud.clear_faults()
    assert old_pair.stackmend("revert", "storm", *old_pair.sql).code == 0
    assert old_pair.rows() == before
