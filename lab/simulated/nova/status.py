"""A server's status as the API shows it, out of its vm_state and task_state."""

_REBOOTS = {
    "rebooting": "REBOOT",
    "reboot_pending": "REBOOT",
    "reboot_started": "REBOOT",
    "rebooting_hard": "HARD_REBOOT",
    "reboot_pending_hard": "HARD_REBOOT",
    "reboot_started_hard": "HARD_REBOOT",
}
_REBUILDS = {
    "rebuilding": "REBUILD",
    "rebuild_block_device_mapping": "REBUILD",
    "rebuild_spawning": "REBUILD",
}
_ACTIVE = {
    **_REBOOTS,
    **_REBUILDS,
    "updating_password": "PASSWORD",
    "resize_prep": "RESIZE",
    "resize_migrating": "RESIZE",
    "migrating": "MIGRATING",
}
_TABLE: dict[str, tuple[str, dict[str, str]]] = {
    "active": ("ACTIVE", _ACTIVE),
    "building": ("BUILD", {}),
    "stopped": ("SHUTOFF", {**_REBUILDS, "resize_prep": "RESIZE"}),
    "resized": ("VERIFY_RESIZE", {}),
    "paused": ("PAUSED", {"migrating": "MIGRATING"}),
    "suspended": ("SUSPENDED", {}),
    "rescued": ("RESCUE", {}),
    "error": ("ERROR", {**_REBUILDS, "migrating": "MIGRATING"}),
    "deleted": ("DELETED", {}),
    "soft-delete": ("SOFT_DELETED", {}),
    "shelved": ("SHELVED", {}),
    "shelved_offloaded": ("SHELVED_OFFLOADED", {}),
}
SHOWS_PROGRESS = ("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING")


def status(vm_state: str, task_state: str | None) -> str:
    """The status of a server, UNKNOWN for a vm_state nobody knows."""
    plain, by_task = _TABLE.get(vm_state, ("UNKNOWN", {}))
    return by_task.get(task_state or "", plain)


def vm_states(wanted: str) -> list[str]:
    """The vm_states that can show as a status."""
    return [state for state, (plain, by_task) in _TABLE.items() if wanted in (plain, *by_task.values())]
