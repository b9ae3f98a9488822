"""A compute host is back: it is let in again, what was left on it is swept, and its servers come up.

From the operations guide, "After a compute node reboots"; with what nova asks for since: a host that was
evacuated cleans up when its nova-compute starts, and is let up only then.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Stage
from stackmend.engine.procedures import Doors, Procedure
from stackmend.engine.step import Step
from stackmend.flows.host_return_draft import draft
from stackmend.tasks import (
    compute_proof,
    compute_service,
    fencing,
    homecoming,
    host_survey,
    hosts,
    leftover_survey,
    leftovers,
    survey,
)
from stackmend.tasks.scope import Scope

PARAMETERS = (
    Parameter("host", "the compute host that is back", positional=True),
    Parameter("exclude", "leave this server alone (name or id)", many=True),
    Parameter("power_timeout", "seconds for its power to go on", float, 120.0, least=1),
    Parameter(
        "compute_timeout", "seconds for the host to answer and its nova-compute to be alive", float, 600.0, least=1
    ),
    Parameter("boot_timeout", "seconds a server may take to start", float, 600.0, least=1),
)
STAGES = (
    Stage("back", "the host is alive and let in", gate=True),
    Stage("sweep", "what was left on it is removed"),
    Stage("servers", "its servers that ran come up"),
    Stage("look", "what is still left on it"),
)


def capture(doors: Doors, given: Mapping[str, Any]) -> dict[str, Any]:
    """The host, its servers, and what others have left on it."""
    cloud, host = doors["cloud"], given["host"]
    known = host_survey.capture(cloud, host)
    scope = Scope([], [host], [], [])
    captured = survey.capture(cloud, {}, scope, may_be_empty=True, mappings=False)
    here = [server["id"] for server in captured["servers"]]
    return {
        **captured,
        **known,
        **host_survey.power(doors["fences"], host),
        "node": host_survey.node(cloud, host),
        "place": compute_service.facts_of(doors["fences"].inventory.host(host)),
        "left": leftover_survey.capture(cloud, host, here),
    }


def steps(stage: str, facts: dict[str, Any]) -> list[Step]:
    """The runbook."""
    if stage == "back":
        return _back(facts)
    if stage == "sweep":
        if "port" in facts:
            return [leftovers.DropBinding(facts["port"], facts["host"])]
        return [leftovers.DropAllocation(facts["server"], facts["provider"], facts["held"])]
    if stage == "look":
        return [leftovers.HostClean(facts["host"])]
    server, seconds = facts["id"], facts["boot_timeout"]
    return [
        homecoming.StartReturned(server, seconds),
        homecoming.RebootReturned(server, facts["host"], facts["place"], seconds),
        homecoming.VerifyReturned(server, facts["wanted"], facts["place"], seconds),
    ]


def _back(facts: dict[str, Any]) -> list[Step]:
    host, seconds = facts["host"], facts["compute_timeout"]
    power: list[Step] = []
    if facts["switch_on"]:
        power = [fencing.PowerOn(host, facts["agent"], facts["power_timeout"])]
    enable: list[Step] = []
    if facts["disabled_reason"]:
        enable = [hosts.Enable(host, facts["service"], facts["disabled_reason"])]
    return [
        *power,
        compute_proof.ReturnCompute(host, facts["place"], seconds),
        compute_proof.HeartbeatAdvances(host, seconds),
        hosts.ForceUp(host, facts["service"]),
        compute_proof.ComputeAnswers(host, facts["node"], facts["place"], seconds),
        *enable,
    ]


PROCEDURE = Procedure(
    name="host-return",
    version="1",
    summary="let a compute host back in: nova-compute proved alive, leftovers swept, servers that ran brought up",
    guide='Operations guide, "After a compute node reboots"',
    parameters=PARAMETERS,
    stages=STAGES,
    capture=capture,
    draft=draft,
    steps=steps,
    doors=frozenset(["cloud", "fences", "ssh"]),
)
