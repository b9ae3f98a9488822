"""The stage before every recovery elsewhere: the host is proved dead, fenced, and kept so.

One order for all of them: brake, evidence, fence, disable, force down. Not a procedure of its own.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Lane, Stage
from stackmend.engine.step import Step
from stackmend.errors import BadInput
from stackmend.tasks import brake, fencing, hosts

STAGE = Stage("fence", "the host is proved dead and kept so", gate=True)
PARAMETERS = (
    Parameter("fenced", "the host is off: how you know; instead of its fence agent", default=""),
    Parameter("dead", "the host is dead: how you know; instead of a second witness", default=""),
    Parameter("override_brake", "go on where the brake holds: why", default=""),
    Parameter("most_down", "the share of hosts that may be down before the brake holds", float, 0.34, least=0),
    Parameter("most_hosts", "evacuations of how many other hosts make the brake hold", int, 2, least=1),
    Parameter("window", "hours for which they count", float, 1.0, least=0),
    Parameter("dead_timeout", "seconds to wait for the evidence that the host is dead", float, 120.0, least=0),
    Parameter("fence_timeout", "seconds for its power to go off", float, 120.0, least=1),
)


def check(captured: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises BadInput when nothing could prove that the host is off."""
    if not (given["fenced"] or captured["fence_agent"]):
        raise BadInput(
            f"nothing can prove that {given['host']} is off: name its fence agent in the inventory, or say --fenced "
            "and how you know that it is"
        )


def lane(captured: Mapping[str, Any], given: Mapping[str, Any], ours: str) -> Lane:
    """The host's lane. ``ours`` begins the reason that the host is disabled with."""
    host = given["host"]
    facts = {
        "host": host,
        **{parameter.name: given[parameter.name] for parameter in PARAMETERS},
        "service": captured["computes"][host]["id"],
        "agent": captured["fence_agent"],
        "reason": f"{ours} {captured['taken_at']}",
    }
    return Lane(f"host:{host}", host, STAGE.name, facts, [], locks=[f"host:{host}"])


def steps(facts: Mapping[str, Any]) -> list[Step]:
    """The host's steps."""
    host, service = facts["host"], facts["service"]
    receipt: Step = fencing.FenceStatement(host, facts["fenced"])
    if not facts["fenced"]:
        receipt = fencing.Fence(host, facts["agent"], facts["fence_timeout"])
    return [
        brake.Brake(host, facts["most_down"], facts["most_hosts"], facts["window"], facts["override_brake"]),
        brake.HostDead(host, facts["dead_timeout"], facts["dead"], facts["fenced"]),
        receipt,
        # In this order: who takes it back learns first whether the host may come up.
        hosts.Disable(host, service, facts["reason"]),
        fencing.KeepDown(host, service),
    ]
