"""A power loss from end to end: every server that ran is back once, and nothing else was touched."""

from collections import Counter

from desk import Desk


def test_a_clean_power_return_needs_one_reboot_each(shop: Desk) -> None:
    before = shop.rows()
    ended = shop.run(*shop.sql)
    assert (ended.code, ended.data["state"]) == (0, "done"), ended.err
    running = {name for name in shop.servers if name != "old-1"}
    assert Counter(shop.rebooted()) == Counter(running)
    assert shop.rows()["cinder.volumes"] == before["cinder.volumes"]


def test_a_guest_that_asks_for_it_is_rebooted_from_inside_once(shop: Desk) -> None:
    assert shop.run("--server", "web-1").code == 0
    commands = [effect["command"] for effect in shop.cloud.journal("ssh.command")]
    assert sum("shutdown" in command for command in commands) == 1
    assert [effect["target"] for effect in shop.cloud.journal("guest.reboot")] == [shop.servers["web-1"]]
