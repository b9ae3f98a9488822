"""Power loss: the whole cloud went dark, and its power is back.

From the nova administrator's guide, "Recovering from a failed compute node", section "Recover cloud after
disaster", and its DRP script; with what today's nova and cinder need done differently (flows/repairs.py).
"""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Lane, Stage, Verdict
from stackmend.engine.procedures import Doors, Draft, Procedure
from stackmend.engine.step import Step
from stackmend.errors import BadInput
from stackmend.flows import order, repairs
from stackmend.tasks import guests, readiness, servers, survey, verification, volumes

PARAMETERS = (
    Parameter("server", "only this server (name or id); the guides' test mode", many=True),
    Parameter("host", "only the servers of this compute host", many=True),
    Parameter("project", "only the servers of this project (name or id)", many=True),
    Parameter("exclude", "leave this server alone (name or id)", many=True),
    Parameter(
        "ssh_reboot",
        "reboot every guest from inside too, not only those with stackmend:ssh-reboot",
        bool,
        False,
    ),
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
SSH_REBOOT = "stackmend:ssh-reboot"
SECONDS_PER_SERVER = 30.0


def capture(doors: Doors, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every server in scope with its disks and ports."""
    scope = survey.Scope(given["server"], given["host"], given["project"], given["exclude"])
    return survey.capture(doors["cloud"], doors["databases"], scope)


def draft(captured: dict[str, Any], given: Mapping[str, Any]) -> Draft:
    """A lane for the gate, one for each server that needs something, one for the sweep."""
    now = {server["id"]: server for server in captured["servers"]}
    judged = [(server, repairs.judge(server, now.get(server["id"]), captured["legacy"])) for server in _then(captured)]
    recovered = [(server, judgement) for server, judgement in judged if judgement.verdict == "ready"]
    servers_back = [server for server, _ in recovered]
    after, notes = order.dependencies(servers_back, captured["groups"])
    after = order.apart(servers_back, after, _attached_together(recovered))
    lanes = [_server_lane(server, judgement, captured, given, after) for server, judgement in recovered]
    verdicts = [verdict for server, found in judged for verdict in _verdicts(server, found)]
    if lanes:
        depth = order.depths(after)
        lanes.sort(key=lambda lane: (depth[lane.facts["id"]], lane.priority, lane.title))
        lanes = [_ready_lane(recovered, given), *lanes, _sweep_lane(recovered)]
    return Draft(
        lanes,
        verdicts,
        notes,
        SECONDS_PER_SERVER * (1 + max(order.depths(after).values(), default=0)),
    )


def _then(captured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The servers as an earlier capture has them, where there is one; those that came later as they are now."""
    now = {server["id"]: server for server in captured["servers"]}
    scope = survey.Scope(**captured["scope"])
    earlier = {
        server["id"]: server for server in captured.get("then", ()) if server["id"] in now or scope.covered(server)
    }
    return list({**now, **earlier}.values())


def steps(stage: str, facts: dict[str, Any]) -> list[Step]:
    """The runbook."""
    if stage == "ready":
        return [readiness.CloudReady("cloud", **facts)]
    if stage == "sweep":
        return [verification.Leftovers("cloud", facts["servers"])]
    server, wait = facts["id"], facts["wait"]
    chain: list[Step] = []
    if facts["clear_task"]:
        chain.append(
            servers.ClearTask(
                server, facts["vm_state"], facts["clear_task"], facts["sql"], "no reboot is accepted in it"
            )
        )
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
    volume, action, was = (
        disk["volume_id"],
        disk["action"],
        {"status": disk["status"], "attach_status": disk["attach_status"]},
    )
    if disk["legacy_row"] and action == repairs.REATTACH:
        return [volumes.LegacyReset(volume, disk["legacy_row"], disk["why"])]
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
    return volumes.Reattach(server, disk, seconds, when, disk["why"])


def _server_lane(
    server: dict[str, Any],
    judgement: repairs.Judgement,
    captured: dict[str, Any],
    given: Mapping[str, Any],
    after: Mapping[str, list[str]],
) -> Lane:
    disks = [{**repair.disk, "action": repair.action, "why": repair.why} for repair in judgement.repairs]
    now = next(item for item in captured["servers"] if item["id"] == server["id"])
    facts = {
        **{name: now[name] for name in ("id", "name", "host", "vm_state")},
        "then": server,
        "disks": disks,
        "reboot": judgement.reboot,
        "clear_task": now["task_state"] if judgement.clear_task else None,
        "sql": "nova" in captured["databases"],
        "ssh": _ssh(server, given) if judgement.reboot else None,
        "wait": {"boot": given["boot_timeout"], "attach": given["attach_timeout"]},
        "wanted": _wanted(server, disks),
    }
    return Lane(
        key=f"server:{server['id']}",
        title=server["name"],
        stage="recover",
        facts=facts,
        steps=[],
        after=[f"server:{earlier}" for earlier in after[server["id"]]],
        priority=order.priority(server),
        group=now["host"] or "",
        locks=[
            f"server:{server['id']}",
            *(f"volume:{disk['volume_id']}" for disk in disks if disk["action"] in repairs.TOUCHED),
        ],
    )


def _wanted(server: dict[str, Any], disks: list[dict[str, Any]]) -> dict[str, Any]:
    """What verification will ask for: the server as captured, less what was left to others."""
    expected = {disk["volume_id"]: "in-use" for disk in disks if disk["action"] != repairs.LEAVE}
    state = "stopped" if server["vm_state"] == "stopped" else "active"
    return {
        "vm_state": state,
        "volumes": expected,
        "ports": {port["id"]: port["status"] for port in server["ports"]},
    }


def _ssh(server: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    asked = str(server["metadata"].get(SSH_REBOOT, "")).lower() == "true"
    if not (asked or given["ssh_reboot"]):
        return None
    if not server["addresses"]:
        raise BadInput(
            f"server {server['name']} has no address to reach it at by SSH: --exclude it, or remove {SSH_REBOOT}"
        )
    return {"address": server["addresses"][0], "user": server["metadata"].get("stackmend:ssh-user")}


def _attached_together(recovered: list[tuple[dict[str, Any], repairs.Judgement]]) -> list[list[str]]:
    """The servers that get one and the same volume back: cinder refuses an attachment while another is made."""
    found: dict[str, list[str]] = {}
    for server, judgement in recovered:
        for repair in judgement.repairs:
            if repair.action == repairs.REATTACH:
                found.setdefault(repair.disk["volume_id"], []).append(server["id"])
    return list(found.values())


def _ready_lane(recovered: list[tuple[dict[str, Any], repairs.Judgement]], given: Mapping[str, Any]) -> Lane:
    hosts = sorted({server["host"] for server, found in recovered if found.reboot and server["host"]})
    facts = {
        "hosts": hosts,
        "checks": given["ready_checks"],
        "seconds": given["ready_timeout"],
        "interval": given["ready_interval"],
    }
    return Lane("cloud:ready", "the cloud", "ready", facts, [])


def _sweep_lane(recovered: list[tuple[dict[str, Any], repairs.Judgement]]) -> Lane:
    found = {server["id"]: [disk["volume_id"] for disk in server["disks"]] for server, _ in recovered}
    return Lane("cloud:sweep", "the cloud", "sweep", {"servers": found}, [])


def _verdicts(server: dict[str, Any], found: repairs.Judgement) -> list[Verdict]:
    """The server's, and behind it each of its volumes': touched or not, and why."""
    volumes = [
        Verdict(
            f"volume:{repair.disk['volume_id']}",
            f"{server['name']} {repair.disk['device']}",
            repairs.VERDICTS[repair.action],
            f"{repair.action}: {repair.why}",
        )
        for repair in found.repairs
    ]
    return [Verdict(f"server:{server['id']}", server["name"], found.verdict, found.why), *volumes]


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
)
