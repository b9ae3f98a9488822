"""Reattach volumes: what a server lost is hung on it again, at the device it had.

From the operations guide, "Maintenance, failures, and debugging", section "Volumes": find which volume hangs
on which server, and only when the server runs, detach it and attach it at the same device.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Stage
from stackmend.engine.procedures import Doors, Procedure
from stackmend.engine.step import Step
from stackmend.flows import repairs
from stackmend.flows.reattach_volumes_draft import draft
from stackmend.tasks import attachments, survey, verification, volumes
from stackmend.tasks.scope import Scope

PARAMETERS = (
    Parameter("server", "only this server (name or id)", many=True),
    Parameter("host", "only the servers of this compute host", many=True),
    Parameter("project", "only the servers of this project (name or id)", many=True),
    Parameter("exclude", "leave this server alone (name or id)", many=True),
    Parameter("volume", "only this volume (id)", many=True),
    Parameter("again", "detach and attach also volumes that both services show: their guests lost sight", bool, False),
    Parameter("boot_timeout", "seconds to wait for a server that does not run yet", float, 600.0, least=1),
    Parameter("attach_timeout", "seconds a volume may take to be attached or detached", float, 180.0, least=1),
)


def capture(doors: Doors, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every server in scope with its disks, as nova and as cinder know them."""
    scope = Scope(given["server"], given["host"], given["project"], given["exclude"])
    return survey.capture(doors["cloud"], doors["databases"], scope)


def steps(_stage: str, facts: dict[str, Any]) -> list[Step]:
    """The runbook."""
    server, seconds = facts["id"], facts["wait"]["attach"]
    chain: list[Step] = [attachments.Runs(server, facts["wait"]["boot"])]
    for disk in facts["disks"]:
        chain += _disk(server, disk, seconds)
    return [*chain, verification.VerifyServer(server, facts["wanted"], facts["wait"]["boot"])]


def _disk(server: str, disk: dict[str, Any], seconds: float) -> list[Step]:
    volume, why = disk["volume_id"], disk["why"]
    was = {"status": disk["status"], "attach_status": disk["attach_status"]}
    if disk["action"] == repairs.RESET:
        return [volumes.ResetStatus(volume, "in-use", "attached", was, why)]
    if disk["action"] == repairs.RESTORE:
        return [
            volumes.RestoreAttachment(disk["nova_attachment"], server, volume, why),
            volumes.ResetStatus(volume, "in-use", "attached", was, "its attachment is back"),
        ]
    chain: list[Step] = [attachments.Detach(server, disk, seconds, why)] if disk["attached"] else []
    return [*chain, attachments.Reattach(server, disk, seconds, "always", why)]


PROCEDURE = Procedure(
    name="reattach-volumes",
    version="1",
    summary="hang volumes on their servers again, each at its own device, and prove it at nova and at cinder",
    guide='Operations guide, "Maintenance, failures, and debugging": Volumes',
    parameters=PARAMETERS,
    stages=(Stage("reattach", "volumes hang on their servers"),),
    capture=capture,
    draft=draft,
    steps=steps,
    doors=frozenset(["cloud", "databases"]),
    to_capture=True,
)
