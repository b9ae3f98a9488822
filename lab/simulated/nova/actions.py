"""POST /servers/{id}/action: what is asked, when it is refused, and what goes to nova-compute."""

from collections.abc import Callable, Coroutine
from typing import Any

from stackmend.lab.simulated.nova import evacuate, live, power, records, resize, rows
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply

Action = Callable[[Call, Row, Any], Reply]

_HARD_TASKS = (
    None,
    "rebooting",
    "reboot_pending",
    "reboot_started",
    "rebooting_hard",
    "suspending",
    "resuming",
    "pausing",
    "unpausing",
)
_SOFT_STATES = ("active",)
_HARD_STATES = ("active", "stopped", "paused", "suspended", "error")


def act(call: Call) -> Reply:
    """Do the one action the body names."""
    names = [name for name in call.json() if name in _ACTIONS]
    if len(names) != 1:
        name = next(iter(call.json()), "")
        raise ApiError(400, f"There is no such action: {name}")
    return _ACTIONS[names[0]](call, rows.instance(call), call.json()[names[0]])


def _refuse_state(row: Row, verb: str, attribute: str) -> ApiError:
    return ApiError(409, f"Cannot '{verb}' instance {row['uuid']} while it is in {attribute} {row[attribute]}")


def check(call: Call, row: Row, verb: str, vm_states: tuple[str, ...], tasks: tuple[str | None, ...] = (None,)) -> None:
    """Refuse with 409 a locked server (to a member) and any state the verb is not for."""
    if row["locked"] and not call.caller.admin:
        raise ApiError(409, f"Instance {row['uuid']} is locked")
    if vm_states and row["vm_state"] not in vm_states:
        raise _refuse_state(row, verb, "vm_state")
    if tasks and row["task_state"] not in tasks:
        raise _refuse_state(row, verb, "task_state")


def _cast(call: Call, row: Row, work: Callable[[], Coroutine[Any, Any, None]]) -> Reply:
    call.cloud.hypervisors.cast(row["host"], work)
    return Reply(202)


def _reboot(call: Call, row: Row, given: Any) -> Reply:
    kind = str((given or {}).get("type", "")).upper()
    if not kind:
        raise ApiError(400, f"Invalid input for field/attribute reboot. Value: {given}. 'type' is a required property")
    if kind not in ("HARD", "SOFT"):
        raise ApiError(
            400,
            f"Invalid input for field/attribute type. Value: {given['type']}. '{given['type']}' is not one of"
            " ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']",
        )
    if kind == "HARD":
        check(call, row, "reboot", _HARD_STATES, _HARD_TASKS)
    else:
        check(call, row, "reboot", _SOFT_STATES)
    cloud, origin, server, host = call.cloud, call.origin, row["uuid"], row["host"]
    rows.change(cloud, server, task_state="rebooting_hard" if kind == "HARD" else "rebooting")
    records.begin(cloud, server, "reboot", origin)
    call.effect("server.reboot", server, type=kind, host=host)
    return _cast(call, row, lambda: power.reboot(cloud, server, host, kind, origin))


def _start(call: Call, row: Row, _given: Any) -> Reply:
    check(call, row, "start", ("stopped",))
    cloud, origin, server, host = call.cloud, call.origin, row["uuid"], row["host"]
    rows.change(cloud, server, task_state="powering-on")
    records.begin(cloud, server, "start", origin)
    call.effect("server.start", server, host=host)
    return _cast(call, row, lambda: power.start(cloud, server, host, origin))


def _stop(call: Call, row: Row, _given: Any) -> Reply:
    check(call, row, "stop", ("active", "error", "rescued"))
    cloud, origin, server, host = call.cloud, call.origin, row["uuid"], row["host"]
    rows.change(cloud, server, task_state="powering-off")
    records.begin(cloud, server, "stop", origin)
    call.effect("server.stop", server, host=host)
    return _cast(call, row, lambda: power.stop(cloud, server, host, origin))


def _holding(verb: str, since: tuple[str, ...], task: str, vm_state: str, power_state: int) -> Action:
    def action(call: Call, row: Row, _given: Any) -> Reply:
        check(call, row, verb, since)
        cloud, origin, server, host = call.cloud, call.origin, row["uuid"], row["host"]
        rows.change(cloud, server, task_state=task)
        records.begin(cloud, server, verb, origin)
        call.effect(f"server.{verb}", server, host=host)
        event = f"compute_{verb}_instance"
        return _cast(call, row, lambda: power.hold(cloud, server, host, origin, event, vm_state, power_state))

    return action


def _reset_state(call: Call, row: Row, given: Any) -> Reply:
    if not call.caller.admin:
        rule = "os_compute_api:os-admin-actions:reset_state"
        raise ApiError(403, f"Policy doesn't allow {rule} to be performed.")
    wanted = (given or {}).get("state")
    if wanted not in ("active", "error"):
        raise ApiError(
            400,
            f"Invalid input for field/attribute state. Value: {wanted}. {wanted!r} is not one of ['active', 'error']",
        )
    rows.change(call.cloud, row["uuid"], vm_state=wanted, task_state=None)
    records.begin(call.cloud, row["uuid"], "resetState", call.origin)
    call.effect("server.resetState", row["uuid"], state=wanted, before=[row["vm_state"], row["task_state"]])
    return Reply(202)


def _lock(call: Call, row: Row, given: Any) -> Reply:
    reason = (given or {}).get("locked_reason") if call.at_least(73) else None
    rows.change(call.cloud, row["uuid"], locked=True, locked_by="admin" if call.caller.admin else "owner")
    if reason:
        call.cloud.nova.insert(
            "instance_system_metadata",
            created_at=stamp(),
            instance_uuid=row["uuid"],
            key="locked_reason",
            value=reason,
            deleted=0,
        )
    return _recorded(call, row, "lock")


def _unlock(call: Call, row: Row, _given: Any) -> Reply:
    if row["locked_by"] == "admin" and not call.caller.admin:
        rule = "os_compute_api:os-lock-server:unlock:unlock_override"
        raise ApiError(403, f"Policy doesn't allow {rule} to be performed.")
    rows.change(call.cloud, row["uuid"], locked=False, locked_by=None)
    call.cloud.nova.write(
        "DELETE FROM instance_system_metadata WHERE instance_uuid = ? AND key = 'locked_reason'", row["uuid"]
    )
    return _recorded(call, row, "unlock")


def _recorded(call: Call, row: Row, verb: str) -> Reply:
    records.begin(call.cloud, row["uuid"], verb, call.origin)
    with records.event(call.cloud, row["uuid"], f"api_{verb}", "sim-ctl", call.origin):
        call.effect(f"server.{verb}", row["uuid"])
    return Reply(202)


def _console(call: Call, row: Row, _given: Any) -> Reply:
    guest = call.cloud.hypervisors.guests.get(row["uuid"], row["host"])
    if guest is None or not guest["running"]:
        return Reply(200, {"output": ""})
    return Reply(200, {"output": f"{row['hostname']} login: \nbooted {guest['booted_at']} {guest['boot_id']}"})


_ACTIONS: dict[str, Action] = {
    "reboot": _reboot,
    "os-start": _start,
    "os-stop": _stop,
    "pause": _holding("pause", ("active",), "pausing", "paused", power.PAUSED),
    "unpause": _holding("unpause", ("paused",), "unpausing", "active", power.RUNNING),
    "suspend": _holding("suspend", ("active",), "suspending", "suspended", power.SUSPENDED),
    "resume": _holding("resume", ("suspended",), "resuming", "active", power.RUNNING),
    "os-resetState": _reset_state,
    "lock": _lock,
    "unlock": _unlock,
    "os-getConsoleOutput": _console,
    "evacuate": evacuate.evacuate,
    "os-migrateLive": live.migrate_live,
    "migrate": resize.migrate,
    "resize": resize.resize,
    "confirmResize": resize.confirm,
    "revertResize": resize.revert,
}

OPERATIONS = (Operation("POST", "/servers/{server}/action", act),)
