"""What a power loss did to one server's disks, and what puts it right: decided from the capture alone.

Seen on a real cloud (doc/observed.md says more): after a clean power return nova and cinder agree, and a hard
reboot is all. A volume's status alone is put right through the API. A disk whose attachment cinder has lost
is dropped by nova at the next reboot: a data disk is attached again after it; a root disk, or a disk of a
server that stays stopped, must get its attachment back before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stackmend.flows.movable import LEAVING

Disk = Mapping[str, Any]
# Somebody else is at work on these volumes, or was: not ours to touch.
OTHERS_WORK = frozenset(
    [
        *("error_deleting", "deleting", "creating", "downloading", "uploading", "awaiting-transfer"),
        *("backing-up", "restoring-backup", "retyping", "migrating", "extending"),
        *("error_extending", "error_restoring"),
    ]
)
KEEP, RESET, RESTORE, REATTACH, LEAVE, LOST = "keep", "reset", "restore", "reattach", "leave", "lost"
VERDICTS = {
    **dict.fromkeys((RESET, RESTORE, REATTACH), "ready"),
    **dict.fromkeys((KEEP, LEAVE), "nothing-to-do"),
    LOST: "impossible",
}
TOUCHED = frozenset([RESET, RESTORE, REATTACH])


@dataclass(frozen=True)
class Repair:
    """What will be done about one disk, and why."""

    disk: dict[str, Any]
    action: str
    why: str


@dataclass(frozen=True)
class Judgement:
    """One server: its verdict, and the repairs of its disks."""

    verdict: str
    why: str
    reboot: bool = False
    clear_task: bool = False
    repairs: list[Repair] = field(default_factory=list)


# Nova refuses a hard reboot in any other task state, or accepts it twice.
_REBOOTABLE_TASKS = frozenset(
    [
        *(None, "rebooting", "reboot_pending", "reboot_started", "rebooting_hard"),
        *("suspending", "resuming", "pausing", "unpausing"),
    ]
)
_LIVE_TASKS = LEAVING | {"rebuilding", "spawning", "scheduling", "networking"}


def judge(then: Mapping[str, Any], now: Mapping[str, Any] | None, legacy: bool, can_clear: bool = True) -> Judgement:
    """The verdict for a server that was ``then`` and is ``now`` (None: it no longer exists)."""
    if now is None:
        return Judgement("nothing-to-do", "it was deleted after the capture")
    ran, why = _ran(then, now)
    if not ran:
        repairs = [_repair(disk, now, reboots=False, legacy=legacy) for disk in then["disks"]]
        found = _with_disks(why, repairs, reboot=False)
        return _busy(now) if found.verdict == "ready" and now["task_state"] in _LIVE_TASKS else found
    if then["vm_state"] not in ("active", "stopped", "paused", "error"):
        return Judgement("nothing-to-do", f"it was {then['vm_state']}, which a reboot would not restore: left as it is")
    if now["vm_state"] not in ("active", "stopped", "paused", "error"):
        return Judgement("impossible", f"it is {now['vm_state']} now: nova reboots no such server")
    if now["task_state"] in _LIVE_TASKS:
        return _busy(now)
    repairs = [_repair(disk, now, reboots=True, legacy=legacy) for disk in then["disks"]]
    stuck = now["task_state"] not in _REBOOTABLE_TASKS
    return _with_disks(why, repairs, reboot=True, clear_task=stuck)


def _busy(now: Mapping[str, Any]) -> Judgement:
    return Judgement("impossible", f"nova is {now['task_state']} it: wait for that to end, then plan again")


def _ran(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the server ran when the power failed, and how that is known."""
    if now["vm_state"] == "stopped" and now["stopped_by"] == "nova":
        return True, "nova stopped it when it found no guest, no user did: it was running: one hard reboot"
    if now["vm_state"] == "stopped" and (then["vm_state"] == "stopped" or now["stopped_by"] == "user"):
        since = "" if then["vm_state"] == "stopped" else "; a user stopped it after the capture"
        return False, f"it was stopped and stays stopped{since}"
    since = " (started after the capture)" if then["vm_state"] == "stopped" else ""
    return True, f"it was running{since}: one hard reboot"


def _with_disks(why: str, repairs: list[Repair], reboot: bool, clear_task: bool = False) -> Judgement:
    lost = next((repair for repair in repairs if repair.action == LOST), None)
    if lost is not None:
        return Judgement("impossible", lost.why, repairs=repairs)
    at_work = [repair for repair in repairs if repair.action not in (KEEP, LEAVE)]
    if not reboot and not at_work:
        return Judgement("nothing-to-do", why, repairs=repairs)
    return Judgement("ready", why, reboot, clear_task, repairs)


def _repair(disk: Disk, now: Mapping[str, Any], reboots: bool, legacy: bool) -> Repair:
    """What one captured disk needs, given the server as it is now."""
    current = next((item for item in now["disks"] if item["volume_id"] == disk["volume_id"]), None)
    merged = {**disk, **_current(disk, current)}
    action, why = _decide(merged, reboots, legacy)
    return Repair(merged, action, why)


def _current(disk: Disk, current: Disk | None) -> dict[str, Any]:
    """Where the disk stands now; what it was (device, tag, flag) stays as captured."""
    moving = [
        "at_nova",
        "at_cinder",
        "bdm_id",
        "nova_attachment",
        "cinder_attachment",
        "status",
        "attach_status",
        "restorable",
        "others",
        "legacy_row",
    ]
    if current is not None:
        return {name: current[name] for name in moving}
    return {"at_nova": False, "at_cinder": False}


def _decide(disk: Disk, reboots: bool, legacy: bool) -> tuple[str, str]:
    status = disk["status"]
    if legacy:
        return _decide_legacy(disk, reboots)
    if disk["at_nova"] and disk["at_cinder"]:
        if status in OTHERS_WORK:
            return LEAVE, f"its status is {status}: another operation's, not touched"
        if status != "in-use" or disk["attach_status"] not in (None, "attached"):
            said = f"{status}/{disk['attach_status']}" if disk["attach_status"] else status
            return RESET, f"its attachment is intact, and its status says {said}"
        return KEEP, "nova and cinder agree on it"
    if disk["others"] and not disk["multiattach"]:
        return (LOST if disk["root"] else LEAVE), f"it hangs on server {disk['others'][0]} now"
    if status in OTHERS_WORK:
        # A reboot would make nova drop a disk of which cinder has no attachment.
        dropped = disk["root"] or (disk["at_nova"] and reboots)
        return (LOST if dropped else LEAVE), f"its status is {status}: another operation's, wait for that to end"
    if disk["at_nova"]:
        if not disk["root"] and reboots:
            return (
                REATTACH,
                "cinder lost its attachment: nova drops the disk at the reboot, then it is attached again",
            )
        what = "its root disk" if disk["root"] else "a disk of a stopped server"
        if disk["restorable"]:
            return (
                RESTORE,
                f"cinder deleted the attachment of {what}: brought back before nova can drop the disk",
            )
        return LOST, (
            f"cinder has no attachment for {what} {disk['volume_id']}, and a reboot would delete nova's mapping: "
            "give stackmend cinder's database (--sql cinder=URL), or restore the attachment by hand"
        )
    if disk["root"]:
        return (
            LOST,
            f"nova has no mapping of its root disk {disk['volume_id']}: restore nova's block device mapping first",
        )
    if not reboots:
        return LEAVE, "nova has no mapping of it, and the server stays stopped: attach it when it is started"
    return REATTACH, "nova lost its mapping: attached again after the reboot"


def _decide_legacy(disk: Disk, reboots: bool) -> tuple[str, str]:
    if disk["status"] in OTHERS_WORK:
        return LEAVE, f"its status is {disk['status']}: not touched"
    if disk["root"] or not reboots or not disk["legacy_row"]:
        return KEEP, "a root disk, or a disk of a stopped server, is never reset"
    if disk["at_nova"] and not disk["bdm_id"]:
        return KEEP, "not reset: that needs nova's database too (--sql nova=WHERE); the reboot plugs it again"
    return (
        REATTACH,
        "schema before volume_attachment: reset as the guide says, attached again after the reboot",
    )
