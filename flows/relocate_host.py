"""Relocate: the servers of a compute host that has died are moved by nova's database. The expert's way.

From the operations guide, "Manual recovery" and "Total compute node failure"; for when nova itself can't evacuate.
Corrected for today's nova: host, node and compute node together; the record that keeps the old host from
starting its copies; placement; ports and volumes through their own services.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Stage
from stackmend.engine.procedures import Doors, Procedure
from stackmend.engine.step import Step
from stackmend.errors import BadInput
from stackmend.flows import fencing_stage
from stackmend.flows.relocate_host_draft import draft
from stackmend.tasks import (
    allocations,
    connections,
    evacuation,
    host_survey,
    mappings,
    ports,
    relocation,
    relocation_survey,
    servers,
    survey,
    verification,
)
from stackmend.tasks.scope import Scope

PARAMETERS = (
    Parameter("host", "the compute host that has died", positional=True),
    Parameter("to", "the compute host that its servers are moved to"),
    Parameter("server", "only this server (name, id or EC2 id)", many=True),
    Parameter("exclude", "leave this server alone (name, id or EC2 id)", many=True),
    Parameter("shared_disks", "instance disks are on storage that all hosts share", bool, False),
    Parameter("consent", "this server's local disk is on the target already, or may be lost (name or all)", many=True),
    Parameter("connector", "a file with the target's connector, where cinder's database can't tell it", default=""),
    *fencing_stage.PARAMETERS,
    Parameter("port_timeout", "seconds a port may take to be bound", float, 60.0, least=1),
    Parameter("attach_timeout", "seconds a volume may take to be attached", float, 180.0, least=1),
    Parameter("boot_timeout", "seconds a server may take to come back", float, 600.0, least=1),
)
STAGES = (
    fencing_stage.STAGE,
    Stage("relocate", "its servers are moved"),
    Stage("hold", "the host is held"),
)


def capture(doors: Doors, given: Mapping[str, Any]) -> dict[str, Any]:
    """The servers, both hosts, and all that must move with a server."""
    if not given["to"]:
        raise BadInput("relocate-host needs to know where the servers go: say --to HOST")
    cloud, databases, host = doors["cloud"], doors["databases"], given["host"]
    hosts = host_survey.capture(cloud, host)
    relocation_survey.check_target(hosts["computes"], host, given["to"])
    scope = Scope(given["server"], [] if given["server"] else [host], [], given["exclude"])
    known = survey.capture(cloud, databases, scope)
    more = relocation_survey.capture(cloud, databases, known["servers"], (host, given["to"]), given["connector"])
    return {**known, **hosts, **host_survey.power(doors["fences"], host), **more}


def steps(stage: str, facts: dict[str, Any]) -> list[Step]:
    """The runbook."""
    if stage == "fence":
        return fencing_stage.steps(facts)
    if stage == "hold":
        return [evacuation.HostHeld(facts["host"])]
    server, source, target = facts["id"], facts["host"], facts["to"]
    wait, disks, held = facts["wait"], facts["disks"], facts["held"]
    chain: list[Step] = [
        relocation.Tombstone(server, facts["tombstone"]),
        relocation.MoveRows(server, facts["row"], facts["values"], facts["was"]),
        allocations.MoveAllocation(server, held, held["source"], held["target"]),
    ]
    chain += [ports.RebindPort(port, source, target, wait["port"]) for port in facts["wanted"]["ports"]]
    for disk in disks:
        chain += [
            connections.CreateAttachment(server, disk, facts["connector"], facts["version"], wait["attach"]),
            connections.CompleteAttachment(server, disk),
            mappings.SwitchMapping(server, disk),
        ]
    if facts["runs"]:
        chain.append(servers.Reboot(server, target, wait["boot"]))
    chain += [connections.DropAttachment(server, disk, facts["runs"]) for disk in disks]
    volumes = [disk["volume_id"] for disk in disks]
    return [
        *chain,
        verification.VerifyServer(server, facts["wanted"], wait["boot"]),
        relocation.Moved(server, target, volumes, list(facts["wanted"]["ports"]), wait["boot"]),
    ]


PROCEDURE = Procedure(
    name="relocate-host",
    version="1",
    summary="move a dead host's servers by nova's database: fenced, recorded, placement, ports and volumes along",
    guide='Operations guide, "Maintenance, failures, and debugging": Manual recovery, Total compute node failure',
    parameters=PARAMETERS,
    stages=STAGES,
    capture=capture,
    draft=draft,
    steps=steps,
    doors=frozenset(["cloud", "databases", "fences", "ssh"]),
)
