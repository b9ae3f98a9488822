"""Migrate servers to another host: live where they run, cold where they are stopped, each proved.

From the operations guide, "Compute node failures and maintenance", section "Planned maintenance", and the nova
administrator's guide, "Migrate instances" and "Live-migrate instances".
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Lane, Stage
from stackmend.engine.procedures import Doors, Draft, Procedure
from stackmend.engine.step import Step
from stackmend.errors import BadInput
from stackmend.flows import migratable
from stackmend.tasks import arrival, cold_migration, late_migration, migration, move_survey, survey
from stackmend.tasks.moves import Move
from stackmend.tasks.scope import Scope

SECONDS_PER_SERVER = 30.0
PARAMETERS = (
    Parameter("server", "only this server (name or id)", many=True),
    Parameter("host", "the servers of this compute host", many=True),
    Parameter("project", "only the servers of this project (name or id)", many=True),
    Parameter("exclude", "leave this server alone (name or id)", many=True),
    Parameter("to", "to this host instead of the scheduler's choice"),
    Parameter("cold", "this running server may be off for a while (name, id or all)", many=True),
    Parameter("at_once", "how many servers leave one host at a time", int, 2, least=1),
    Parameter("deadline", "seconds that one migration may take", float, 900.0, least=1),
    Parameter("on_deadline", "then: abort, force-complete or wait", default="abort"),
    Parameter("verify_timeout", "seconds for volumes and ports to follow", float, 180.0, least=1),
)
STAGES = (Stage("move", "servers move, each proved on its new host"),)


def capture(doors: Doors, given: Mapping[str, Any]) -> dict[str, Any]:
    """The servers with their disks and ports, the computes and their room."""
    if not (given["server"] or given["host"] or given["project"]):
        raise BadInput("say which servers are to be moved: --server, --host or --project")
    scope = Scope(given["server"], given["host"], given["project"], given["exclude"])
    found = survey.capture(doors["cloud"], {}, scope, mappings=False)
    hosts = {server["host"] for server in found["servers"] if server["host"]}
    return {**found, **move_survey.capture(doors["cloud"], hosts)}


def draft(captured: dict[str, Any], given: Mapping[str, Any]) -> Draft:
    """A lane for each server that can be moved."""
    computes, to = captured["computes"], given["to"]
    migratable.check(computes, to, given["on_deadline"])
    judged = [migratable.judge(server, computes, to, given["cold"]) for server in captured["servers"]]
    sources = {one.server["host"] for one in judged if one.how}
    # From one host only the others can take them; from several each host may take another's.
    targets = [to] if to else migratable.open_hosts(computes, sources if len(sources) == 1 else ())
    judged, notes = migratable.room(judged, captured, targets, named=to is not None)
    lanes = [lane(one, captured, given) for one in judged if one.how]
    return Draft(
        one_behind_another(lanes, given["at_once"]),
        [one.as_verdict() for one in judged],
        notes,
        SECONDS_PER_SERVER * -(-len(lanes) // given["at_once"]),
    )


def lane(one: migratable.Judged, captured: Mapping[str, Any], given: Mapping[str, Any]) -> Lane:
    """A server's lane, without its steps."""
    server = one.server
    facts = {
        "id": server["id"],
        "how": one.how,
        "move": migratable.move(captured, given, server["host"], given["to"]),
        "wanted": migratable.unchanged(server),
        "verify": given["verify_timeout"],
    }
    key = f"server:{server['id']}"
    return Lane(key, server["name"], "move", facts, [], group=server["host"], locks=[key])


def one_behind_another(lanes: list[Lane], at_once: int) -> list[Lane]:
    """The lanes, so that of those in one group only so many are under way at a time."""
    behind: dict[str, list[Lane]] = {}
    for found in lanes:
        before = behind.setdefault(found.group, [])
        if len(before) >= at_once:
            found.after.append(before[-at_once].key)
        before.append(found)
    return lanes


def steps(stage: str, facts: dict[str, Any]) -> list[Step]:
    """The runbook."""
    server, move = facts["id"], Move(**facts["move"])
    proof = arrival.VerifyMoved(server, move.source, facts["wanted"], facts["verify"])
    if facts["how"] == migratable.COLD:
        return [
            cold_migration.ColdMigrate(server, move),
            proof,
            cold_migration.ConfirmResize(server, move.deadline),
        ]
    return [migration.LiveMigrate(server, move), *late(server, move, migration.LiveMigrate.slug), proof]


def late(server: str, move: Move, begun_by: str) -> list[Step]:
    """What is done about a live migration that is late; ``begun_by``: the slug of its step."""
    if move.on_deadline == "abort":
        return [late_migration.AbortMigration(server, move, begun_by)]
    return [late_migration.ForceComplete(server, move, begun_by)] if move.on_deadline == "force-complete" else []


PROCEDURE = Procedure(
    name="migrate-servers",
    version="1",
    summary="move servers to another host: live, or cold where they are stopped; watched to the end and proved",
    guide='Nova administrator\'s guide, "Migrate instances" and "Live-migrate instances"',
    parameters=PARAMETERS,
    stages=STAGES,
    capture=capture,
    draft=draft,
    steps=steps,
    doors=frozenset(["cloud", "fences", "ssh"]),
)
