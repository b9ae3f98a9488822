"""Many lanes at once, and their process killed from outside, more than once."""

import os
import random
import signal
from collections import Counter
from typing import Any

from desk import Desk, quick
from truth import left_behind, rows
from waiting import until

SERVERS = 60


def test_killed_in_the_middle_of_many_lanes(make_desk: Any) -> None:
    """Killed thrice by SIGKILL, each time with dozens of lanes in flight: every effect once all the same.

    A failure tells its seed; STACKMEND_TEST_SEED repeats it.
    """
    seed = int(os.environ.get("STACKMEND_TEST_SEED") or random.randrange(10_000))
    chance = random.Random(seed)
    desk: Desk = make_desk(hosts=5, servers=SERVERS, volumes_per_server=2)
    before = rows(desk)
    volumes = list(desk.volumes.values())
    chance.shuffle(volumes)
    lost, wrong = volumes[:12], volumes[12:24]
    for volume in lost:
        desk.cloud.damage("volume-attachments-deleted", volume)
    for volume in wrong:
        desk.cloud.damage("volume-error", volume)
    desk.cloud.settings(boot_seconds=0.3)
    desk.settings(settle=0.5, poll_interval=0.2)
    desk.cloud.clear_journal()
    process = desk.process("run", "power-loss", "--yes", "--key", "many", *quick(boot_timeout=60), *desk.sql)
    for share in (0.2, 0.5, 0.8):
        enough = int(SERVERS * share) + chance.randrange(5)
        until(lambda enough=enough: len(desk.rebooted()) >= enough, f"{enough} reboots", 90)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = desk.process("resume", "many", *desk.sql)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, f"seed {seed}: {err}"
    assert Counter(desk.rebooted()) == Counter(desk.servers.keys()), f"seed {seed}"
    effects = Counter((effect["kind"], effect["target"]) for effect in desk.touched())
    resets = {target: number for (kind, target), number in effects.items() if kind == "volume.reset-status"}
    attached = {target: number for (kind, target), number in effects.items() if kind == "volume.attach"}
    assert resets == dict.fromkeys(wrong, 1), f"seed {seed}"
    assert set(attached.values()) == {1}, f"seed {seed}"
    assert len(attached) == len(lost), f"seed {seed}"
    assert rows(desk) == before, f"seed {seed}"
    assert left_behind(desk.store) == [], f"seed {seed}"
