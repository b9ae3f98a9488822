"""The draft of a reattachment: what each volume needs, decided from the capture alone."""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.plan import Lane, Verdict
from stackmend.engine.procedures import Draft
from stackmend.errors import BadInput
from stackmend.flows import order
from stackmend.flows.movable import LEAVING
from stackmend.flows.repairs import KEEP, LEAVE, LOST, OTHERS_WORK, REATTACH, RESET, RESTORE, VERDICTS
from stackmend.tasks.verification import expected

SECONDS_PER_VOLUME = 10.0
_DONE_HERE = frozenset([REATTACH, RESET, RESTORE])
Disk = dict[str, Any]
Server = Mapping[str, Any]


def draft(captured: dict[str, Any], given: Mapping[str, Any]) -> Draft:
    """A lane for each server that has a volume to hang on again."""
    if captured["legacy"]:
        raise BadInput("this cinder keeps attachments in the volumes row: power-loss has the statements for that")
    now = {server["id"]: server for server in captured["servers"]}
    then = {server["id"]: server for server in captured.get("then", captured["servers"])}
    verdicts: list[Verdict] = []
    chosen: list[tuple[Server, list[Disk]]] = []
    for server in now.values():
        disks = [_decided(disk, given) for disk in _disks(then.get(server["id"], server), server, given)]
        mine = [disk for disk in disks if disk["action"] in _DONE_HERE]
        verdicts += _verdicts(server, disks, mine)
        if mine and server["vm_state"] == "active" and server["task_state"] not in LEAVING:
            chosen.append((server, mine))
    _check_volumes(now.values(), then.values(), given)
    servers = [server for server, _ in chosen]
    after = order.apart(servers, {server["id"]: [] for server in servers}, _sharing(chosen))
    lanes = [_lane(server, disks, given, after) for server, disks in chosen]
    longest = max((len(disks) for _, disks in chosen), default=0)
    return Draft(lanes, verdicts, [], SECONDS_PER_VOLUME * longest)


def _disks(then: Server, now: Server, given: Mapping[str, Any]) -> list[Disk]:
    """The server's volumes: as they are now, and those that it had in an earlier capture and lost since."""
    current = {disk["volume_id"]: disk for disk in now["disks"]}
    gone = {"at_nova": False, "at_cinder": False}
    lost = [{**disk, **gone} for disk in then["disks"] if disk["volume_id"] not in current]
    return [disk for disk in [*now["disks"], *lost] if not given["volume"] or disk["volume_id"] in given["volume"]]


def _decided(disk: Disk, given: Mapping[str, Any]) -> Disk:
    action, why = _decide(disk, given["again"])
    return {**disk, "action": action, "why": why, "attached": disk["at_nova"] and disk["at_cinder"]}


def _decide(disk: Disk, again: bool) -> tuple[str, str]:
    if disk["root"]:
        return KEEP, "a root disk is never taken off its server"
    if disk["status"] in OTHERS_WORK:
        return LEAVE, f"its status is {disk['status']}: another operation's, not touched"
    if disk["at_nova"] and disk["at_cinder"]:
        if disk["status"] != "in-use" or disk["attach_status"] not in (None, "attached"):
            return RESET, f"its attachment is intact, and its status says {disk['status']}"
        if again:
            return REATTACH, "asked for: its guest lost sight of it"
        return KEEP, "both services show it (--again detaches and attaches it all the same)"
    if disk["at_nova"]:
        if disk["restorable"]:
            return RESTORE, "cinder deleted its attachment, and nova still names it: the row is brought back"
        return LOST, (
            "nova lists it and cinder has no attachment: nova attaches nothing that it still lists; give cinder's "
            "database (--sql cinder=WHERE), or let power-loss --server mend it with one reboot"
        )
    if disk["at_cinder"]:
        return LOST, "cinder has an attachment that nova does not know: power-loss --server drops it with one reboot"
    if disk["others"] and not disk["multiattach"]:
        return LEAVE, f"it hangs on server {disk['others'][0]} now"
    return REATTACH, "it hung there when the capture was made, and does no more"


def _verdicts(server: Server, disks: list[Disk], mine: list[Disk]) -> list[Verdict]:
    found = [
        Verdict(
            f"volume:{disk['volume_id']}",
            f"{server['name']} {disk['device']}",
            VERDICTS[disk["action"]],
            f"{disk['action']}: {disk['why']}",
        )
        for disk in disks
    ]
    verdict, why = "ready", f"{len(mine)} of its {len(disks)} volumes"
    if not mine:
        lost = any(disk["action"] == LOST for disk in disks)
        verdict, why = ("impossible", "see its volumes") if lost else ("nothing-to-do", "none of its volumes needs it")
    elif server["vm_state"] != "active":
        verdict, why = "impossible", f"it is {server['vm_state']}: volumes are hung on only while the guest is up"
    elif server["task_state"] in LEAVING:
        verdict, why = "impossible", f"it is {server['task_state']}: wait for that to end, then plan again"
    return [Verdict(f"server:{server['id']}", server["name"], verdict, why), *found]


def _check_volumes(now: Any, then: Any, given: Mapping[str, Any]) -> None:
    known = {disk["volume_id"] for server in [*now, *then] for disk in server["disks"]}
    for volume in given["volume"]:
        if volume not in known:
            raise BadInput(
                f"volume {volume} hangs on no server in scope, now or in the capture: `openstack volume show {volume}`"
            )


def _sharing(chosen: list[tuple[Server, list[Disk]]]) -> list[list[str]]:
    """Servers that get one and the same volume: cinder refuses an attachment while another is made."""
    found: dict[str, list[str]] = {}
    for server, disks in chosen:
        for disk in disks:
            found.setdefault(disk["volume_id"], []).append(server["id"])
    return list(found.values())


def _lane(server: Server, disks: list[Disk], given: Mapping[str, Any], after: Mapping[str, list[str]]) -> Lane:
    facts = {
        **{name: server[name] for name in ("id", "name", "host")},
        "disks": disks,
        "wanted": expected(server, "active", {disk["volume_id"]: "in-use" for disk in disks}),
        "wait": {"boot": given["boot_timeout"], "attach": given["attach_timeout"]},
    }
    return Lane(
        key=f"server:{server['id']}",
        title=server["name"],
        stage="reattach",
        facts=facts,
        steps=[],
        after=[f"server:{earlier}" for earlier in after[server["id"]]],
        group=server["host"] or "",
        locks=[f"server:{server['id']}", *(f"volume:{disk['volume_id']}" for disk in disks)],
    )
