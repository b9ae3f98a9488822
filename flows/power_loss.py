"""Power loss: the whole cloud went dark, and its power is back.

From the nova administrator's guide, "Recovering from a failed compute node", section "Recover cloud after
disaster", and its DRP script; with what today's nova and cinder need done differently (flows/repairs.py).
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Stage
from stackmend.engine.procedures import Doors, Procedure
from stackmend.engine.step import Step
from stackmend.flows import repairs
from stackmend.flows.power_loss_draft import draft
from stackmend.tasks import attachments, guests, readiness, servers, survey, verification, volumes
from stackmend.tasks.scope import Scope

PARAMETERS = (
    Parameter("server", "only this server (name or id); the guides' test mode", many=True),
    Parameter("host", "only the servers of this compute host", many=True),
    Parameter("project", "only the servers of this project (name or id)", many=True),
    Parameter("exclude", "leave this server alone (name or id)", many=True),
    Parameter("ssh_reboot", "reboot every guest from inside too, not only those that ask for it", bool, False),
    Parameter("boot_timeout", "seconds a server may take to come back", float, 600.0, least=1),
    Parameter("attach_timeout", "seconds a volume may take to be attached", float, 180.0, least=1),
    Parameter("ready_timeout", "seconds to wait for the cloud's services", float, 900.0, least=0),
    Parameter("ready_checks", "how many times in a row the cloud must be found ready", int, 3, least=1),
    Parameter("ready_interval", "seconds between two of these checks", float, 2.0, least=0),
)
STAGES = (
    Stage("ready", "the cloud is ready", gate=True),
    Stage("recover", "servers come back"),
    Stage("sweep", "leftovers"),
)


def capture(doors: Doors, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every server in scope with its disks and ports."""
    scope = Scope(given["server"], given["host"], given["project"], given["exclude"])
    return survey.capture(doors["cloud"], doors["databases"], scope)


def steps(stage: str, facts: dict[str, Any]) -> list[Step]:
    """The runbook."""
    if stage == "ready":
        return [readiness.CloudReady("cloud", **facts)]
    if stage == "sweep":
        return [verification.Leftovers("cloud", facts["servers"])]
    server, wait = facts["id"], facts["wait"]
    chain: list[Step] = []
    if stuck := facts["clear_task"]:
        chain.append(servers.ClearTask(server, facts["vm_state"], stuck, facts["sql"], "no reboot is accepted in it"))
    for disk in facts["disks"]:
        chain += _repair(server, disk)
    if facts["reboot"]:
        chain.append(servers.Reboot(server, facts["host"], wait["boot"]))
    for disk in facts["disks"]:
        if facts["reboot"] and not disk["root"] and disk["action"] in (repairs.KEEP, repairs.RESET, repairs.REATTACH):
            chain.append(_reattach(server, disk, wait["attach"]))
    if facts["ssh"]:
        chain.append(guests.RebootInside(server, facts["ssh"]["address"], facts["ssh"]["user"], wait["boot"]))
    chain.append(verification.VerifyServer(server, facts["wanted"], wait["boot"]))
    return chain


def _repair(server: str, disk: dict[str, Any]) -> list[Step]:
    """Before the reboot: what nova and cinder must agree on, or they would lose the disk."""
    volume, action = disk["volume_id"], disk["action"]
    was = {"status": disk["status"], "attach_status": disk["attach_status"]}
    if disk["legacy_row"] and action == repairs.REATTACH:
        reset = volumes.LegacyReset(volume, disk["legacy_row"], disk["why"])
        why = "nova attaches no volume that it still lists, and an old nova drops no mapping by itself"
        return [reset, volumes.DropMapping(server, volume, disk["bdm_id"], why)] if disk["at_nova"] else [reset]
    if action == repairs.RESET:
        return [volumes.ResetStatus(volume, "in-use", "attached", was, disk["why"])]
    if action == repairs.RESTORE:
        restored = volumes.RestoreAttachment(disk["nova_attachment"], server, volume, disk["why"])
        return [restored, volumes.ResetStatus(volume, "in-use", "attached", was, "its attachment is back")]
    alone = not disk["at_cinder"] and not disk["others"]
    if action == repairs.REATTACH and alone and disk["status"] != "available":
        why = f"it has no attachment left and its status says {disk['status']}"
        return [volumes.ResetStatus(volume, "available", "detached", was, why)]
    return []


def _reattach(server: str, disk: dict[str, Any], seconds: float) -> Step:
    lost = disk["action"] == repairs.REATTACH
    when = "always" if lost else "only if the reboot did not keep it"
    return attachments.Reattach(server, disk, seconds, when, disk["why"])


PROCEDURE = Procedure(
    name="power-loss",
    version="1",
    summary="bring a cloud back: rows put right, each server rebooted once, volumes attached, all of it proved",
    guide='Nova administrator\'s guide, "Recover cloud after disaster"',
    parameters=PARAMETERS,
    stages=STAGES,
    capture=capture,
    draft=draft,
    steps=steps,
    doors=frozenset(["cloud", "databases", "ssh"]),
    to_capture=True,
)
