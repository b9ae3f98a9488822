"""reattach-volumes on a real OpenStack: servers run, and their volumes were taken from them at cinder's side.

The judge is OpenStack's own client.
"""

import pytest
from openstack_client import Judge
from openstack_operator import Operator
from openstack_town import MakeTown, Servers, Town, statement

from stackmend.lab.openstack.control import OpenStackLab

pytestmark = [pytest.mark.openstack, pytest.mark.filterwarnings("ignore:::openstack")]
SERVERS: Servers = {
    "web-1": {"host": 0, "volumes": ["kept", "stale", "gone", "lost"]},
    "db-1": {"host": 1, "root": "volume", "volumes": ["db-1-data"]},
}


def take_away(lab: OpenStackLab, town: Town) -> None:
    """Rows that say nothing is attached, attachments that were deleted, a volume that a user has taken off."""
    text = "UPDATE volumes SET status='available', attach_status='detached' WHERE id=:id"
    statement(lab, "cinder", text, id=town.volumes["stale"])
    for name in ("gone", "db-1-data"):
        town.reset_volume(name, status="available", attach_status="detached")
    town.take_off("web-1", "lost")


def test_each_comes_back_at_its_device_and_once(
    openstack_lab: OpenStackLab, make_town: MakeTown, operator: Operator, judge: Judge
) -> None:
    town = make_town(SERVERS)
    before = judge.state(town.ids())
    capture = str(operator.directory / "capture.json")
    assert operator.types("capture", "power-loss", "-o", capture).code == 0
    take_away(openstack_lab, town)
    assert judge.state(town.ids()) != before

    run = ("run", "reattach-volumes", "--yes", "--capture", capture, *operator.sql)
    operator.finds(*run, "--key", "disks")
    report = operator.report("disks")
    assert (report["state"], report["exceptions"]) == ("done", [])
    assert judge.state(town.ids()) == before
    attached = {name: len(judge.events(server, "attach_volume")) for name, server in town.servers.items()}
    # Each when the town was built, and the one that was lost.
    assert attached == {"web-1": 4 + 1, "db-1": 1}

    idle = operator.types(*run)
    assert (idle.code, "nothing to do" in idle.err) == (0, True), idle.err
    assert judge.state(town.ids()) == before

    # What was brought back is as good as new: nova and cinder take it off and hang it on.
    operator.finds("run", "reattach-volumes", "--again", "--server", "db-1", "--yes", "--key", "again")
    assert judge.state(town.ids()) == before
    assert [len(judge.events(town.servers["db-1"], kind)) for kind in ("detach_volume", "attach_volume")] == [1, 2]
