"""Planned work on a compute host: its servers leave, it is kept away until the work is done, it comes back.

From the operations guide, "Compute node failures and maintenance", section "Planned maintenance", out and back.
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Stage
from stackmend.engine.procedures import Doors, Procedure
from stackmend.engine.step import Step
from stackmend.errors import BadInput
from stackmend.flows.host_maintenance_draft import draft, drain_key
from stackmend.flows.migratable import COLD
from stackmend.flows.migrate_servers import late
from stackmend.tasks import (
    arrival,
    cold_migration,
    compute_proof,
    compute_service,
    draining,
    host_survey,
    hosts,
    migration,
    move_survey,
    peers,
    survey,
)
from stackmend.tasks.moves import Move
from stackmend.tasks.scope import Scope

PARAMETERS = (
    Parameter("host", "the compute host to be worked on", positional=True),
    Parameter("ladder", "what is tried with each server, in this order: live, cold, stop", default="live,cold,stop"),
    Parameter("to", "move servers to this host instead of the scheduler's choice"),
    Parameter("move_stopped", "cold-migrate stopped servers too, instead of leaving them", bool, False),
    Parameter("home", "migrate home at the end what this run moved", bool, False),
    Parameter("note", "what the work is; kept with the host's disable reason", default=""),
    Parameter("at_once", "how many servers leave at a time", int, 2, least=1),
    Parameter("deadline", "seconds that one migration may take", float, 900.0, least=1),
    Parameter("on_deadline", "then: abort, force-complete or wait", default="abort"),
    Parameter("mute_masakari", "set on_maintenance at Masakari for the time", bool, False),
    Parameter("hook_mute", "run this command here first: it mutes others that watch the host", default=""),
    Parameter("hook_unmute", "run this command here at the end, or when it is reverted", default=""),
    Parameter("verify_timeout", "seconds for volumes and ports to follow", float, 180.0, least=1),
    Parameter("boot_timeout", "seconds a server may take to stop or start", float, 600.0, least=1),
    Parameter("ssh_timeout", "seconds for the host to answer by SSH", float, 900.0, least=1),
    Parameter(
        "up_timeout",
        "seconds for its heartbeat to advance, and to answer",
        float,
        180.0,
        least=1,
    ),
)
STAGES = (
    Stage("close", "others are muted, and the host takes no new servers", gate=True),
    Stage("drain", "its servers leave", gate=True),
    Stage("stop", "nothing runs there, and nova-compute is kept from starting", gate=True),
    Stage("back", "the host comes back", gate=True, hold="do the work on the host; it may be rebooted or switched off"),
    Stage("home", "its servers come home, or start again"),
)


def capture(doors: Doors, given: Mapping[str, Any]) -> dict[str, Any]:
    """The host, its servers with their disks and ports, the others' room, and who watches it."""
    cloud, host = doors["cloud"], given["host"]
    known = move_survey.capture(cloud, [host])
    if host not in known["computes"]:
        raise BadInput(f"there is no compute host {host} in this cloud: `openstack compute service list` shows them")
    place = compute_service.facts_of(doors["fences"].inventory.host(host))
    watched = peers.watched_by_masakari(cloud, host) if given["mute_masakari"] else None
    captured = survey.capture(cloud, {}, Scope([], [host], [], []), may_be_empty=True, mappings=False)
    node = host_survey.node(cloud, host)
    return {**captured, **known, "node": node, "place": place, "masakari": watched}


def steps(stage: str, facts: dict[str, Any]) -> list[Step]:
    """The runbook."""
    if stage == "drain":
        return _drain(facts)
    if stage == "home":
        return _home(facts)
    host = facts["host"]
    if stage == "close":
        return [*_mute(facts), hosts.Disable(host, facts["service"], facts["reason"], facts["why"])]
    if stage == "stop":
        return [
            draining.HostEmpty(host, facts["empty_timeout"]),
            compute_service.StopCompute(host, facts["place"], facts["ssh_timeout"]),
        ]
    return [
        compute_service.StartCompute(host, facts["place"], facts["ssh_timeout"]),
        compute_proof.HeartbeatAdvances(host, facts["up_timeout"]),
        compute_proof.ComputeAnswers(host, facts["node"], facts["place"], facts["up_timeout"]),
        *([hosts.Enable(host, facts["service"], facts["reason"])] if facts["enable"] else []),
        *_unmute(facts),
    ]


def _drain(facts: dict[str, Any]) -> list[Step]:
    """The ladder: each rung only if the server is still there."""
    server, move, ladder = facts["id"], Move(**facts["move"]), facts["ladder"]
    still = f"only if it is still on {move.source}"
    chain: list[Step] = []
    if "live" in ladder:
        chain += [migration.LiveMigrate(server, move), *late(server, move, migration.LiveMigrate.slug)]
    if "cold" in ladder:
        chain += [cold_migration.ColdMigrate(server, move, when=still if chain else "always")]
        chain += [cold_migration.ConfirmResize(server, move.deadline, when="only if it was cold-migrated")]
    if "stop" in ladder:
        chain += [draining.StopLeft(server, move.source, facts["boot"])]
    proof = arrival.VerifyMoved(server, move.source, facts["wanted"], facts["verify"], may_stay="stop" in ladder)
    return [*chain, proof]


def _home(facts: dict[str, Any]) -> list[Step]:
    """Back to what was, as far as it was this run that changed it."""
    server, move, lane = facts["id"], Move(**facts["move"]), drain_key(facts["id"])
    chain: list[Step] = []
    if facts["start"]:
        chain += [draining.StartAgain(server, str(move.to), lane, facts["boot"])]
    if facts["home"] == COLD:
        chain += [draining.CarryHome(server, lane, move, facts["wanted"]["vm_state"])]
        begun_by = draining.CarryHome.slug
        chain += [cold_migration.ConfirmResize(server, move.deadline, "only if it was cold-migrated", begun_by)]
    elif facts["home"]:
        chain += [draining.MigrateHome(server, lane, move), *late(server, move, draining.MigrateHome.slug)]
    return [*chain, draining.VerifyBack(server, facts["wanted"], facts["verify"])]


def _mute(facts: dict[str, Any]) -> list[Step]:
    host, watched, chain = facts["host"], facts["masakari"], list[Step]()
    if watched:
        chain += [peers.MuteMasakari(host, watched["segment"], watched["id"])]
    if facts["hook_mute"]:
        chain += [peers.MuteHook(host, facts["hook_mute"], facts["hook_unmute"])]
    return chain


def _unmute(facts: dict[str, Any]) -> list[Step]:
    host, watched, chain = facts["host"], facts["masakari"], list[Step]()
    if facts["hook_mute"]:
        chain += [peers.UnmuteHook(host, facts["hook_unmute"], facts["hook_mute"])]
    if watched:
        chain += [peers.UnmuteMasakari(host, watched["segment"], watched["id"])]
    return chain


PROCEDURE = Procedure(
    name="host-maintenance",
    version="1",
    summary="empty a compute host for planned work, hold it, bring it back: servers moved or stopped, and home again",
    guide='Operations guide, "Compute node failures and maintenance", "Planned maintenance"',
    parameters=PARAMETERS,
    stages=STAGES,
    capture=capture,
    draft=draft,
    steps=steps,
    doors=frozenset(["cloud", "fences", "ssh"]),
)
