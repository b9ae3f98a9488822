"""Evacuate a compute host that has died: its servers come back on other hosts.

From the nova administrator's guide, "Recover from a failed compute node" and "Evacuate instances"; with the
order that keeps a server from running twice: brake, evidence, fence, force down, evacuate, start, hold.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Stage
from stackmend.engine.procedures import Doors, Procedure
from stackmend.engine.step import Step
from stackmend.flows import fencing_stage
from stackmend.flows.evacuate_host_draft import KEEPS_STOPPED, draft
from stackmend.flows.movable import tag_names
from stackmend.tasks import evacuation, host_survey, hosts, power, survey, verification
from stackmend.tasks.scope import Scope

PARAMETERS = (
    Parameter("host", "the compute host that has died", positional=True),
    Parameter("to", "evacuate to this host instead of the scheduler's choice"),
    Parameter("reserved", "enable this reserved host first", many=True),
    Parameter("tag", "only servers whose metadata or flavor has this property, KEY or KEY=VALUE", many=True),
    Parameter("exclude", "leave this server alone (name or id)", many=True),
    Parameter("leave", "leave servers of such names to the service that owns them", many=True, default=["amphora-*"]),
    Parameter("shared_disks", "instance disks are on storage that all hosts share", bool, False),
    Parameter("consent", "this server's local disk may be lost (name, id or all)", many=True),
    *fencing_stage.PARAMETERS,
    Parameter("evacuate_timeout", "seconds one evacuation may take", float, 900.0, least=1),
    Parameter("attempts", "how many times a failed evacuation is sent in all", int, 6, least=1),
    Parameter("pause", "seconds before a failed evacuation is sent again, doubled each time", float, 5.0, least=0),
    Parameter("boot_timeout", "seconds a server may take to start", float, 600.0, least=1),
)
STAGES = (
    fencing_stage.STAGE,
    Stage("reserve", "reserved hosts are let in"),
    Stage("recover", "its servers come back elsewhere"),
    Stage("hold", "the host is held"),
)


def capture(doors: Doors, given: Mapping[str, Any]) -> dict[str, Any]:
    """The host, its servers with their disks and ports, and the room that others have."""
    known = host_survey.capture(doors["cloud"], given["host"])
    scope = Scope([], [given["host"]], [], [])
    power = host_survey.power(doors["fences"], given["host"])
    return {**survey.capture(doors["cloud"], {}, scope, tag_names(given["tag"]), mappings=False), **known, **power}


def steps(stage: str, facts: dict[str, Any]) -> list[Step]:
    """The runbook."""
    if stage == "fence":
        return fencing_stage.steps(facts)
    if stage == "reserve":
        return _reserved(facts)
    if stage == "hold":
        return [evacuation.HostHeld(facts["host"])]
    server, wait = facts["id"], facts["wait"]
    if facts["part"] == "evacuate":
        return _evacuated(facts)
    when = "always" if facts["version"] >= KEEPS_STOPPED else "unless nova has started it"
    return [
        power.StartMoved(server, facts["host"], wait["boot"], when),
        verification.VerifyServer(server, facts["wanted"], wait["boot"]),
    ]


def _evacuated(facts: dict[str, Any]) -> list[Step]:
    server, wait = facts["id"], facts["wait"]
    moved = evacuation.Evacuate(
        *(server, facts["host"], facts["to"], facts["version"], wait["evacuate"], facts["attempts"], wait["pause"])
    )
    if facts["ran"]:
        return [moved]
    stop: list[Step] = [power.Stop(server, wait["boot"], "it did not run")] if facts["stop"] else []
    return [moved, *stop, verification.VerifyServer(server, facts["wanted"], wait["boot"])]


def _reserved(facts: dict[str, Any]) -> list[Step]:
    return [hosts.Enable(facts["host"], facts["service"], facts["disabled_reason"], "it is held in reserve for this")]


PROCEDURE = Procedure(
    name="evacuate-host",
    version="1",
    summary="bring the servers of a dead compute host back on others: proved dead, fenced, evacuated, started in order",
    guide='Nova administrator\'s guide, "Recover from a failed compute node" and "Evacuate instances"',
    parameters=PARAMETERS,
    stages=STAGES,
    capture=capture,
    draft=draft,
    steps=steps,
    doors=frozenset(["cloud", "fences", "ssh"]),
)
