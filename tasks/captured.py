"""What a capture file must hold of each server, for a procedure to recover to it (tasks/survey.py makes it)."""

from collections.abc import Mapping
from types import UnionType
from typing import Any

_Kinds = Mapping[str, type | UnionType]
_TEXT = str | None
_SERVER: _Kinds = {
    **dict.fromkeys(("id", "name", "project"), str),
    **dict.fromkeys(("instance_name", "vm_state", "task_state", "host", "image", "stopped_by"), _TEXT),
    **dict.fromkeys(("metadata", "flavor"), dict),
    **dict.fromkeys(("addresses", "disks", "ports"), list),
}
_DISK: _Kinds = {
    "volume_id": str,
    "status": str,
    **dict.fromkeys(("device", "tag", "attach_status", "nova_attachment", "cinder_attachment"), _TEXT),
    **dict.fromkeys(("root", "delete_on_termination", "at_nova", "at_cinder", "multiattach", "restorable"), bool),
    "bdm_id": int | None,
    "others": list,
    "legacy_row": dict | None,
}
_PORT: _Kinds = {"id": str, "status": str}


def whole(server: Any) -> bool:
    """Whether a captured server holds all that is needed of it, and each of its kind."""
    return (
        _holds(server, _SERVER)
        and all(_holds(disk, _DISK) and _texts(disk["others"]) for disk in server["disks"])
        and all(_holds(port, _PORT) for port in server["ports"])
        and _texts(server["addresses"])
        and _texts(server["metadata"].values())
    )


def _holds(row: Any, kinds: _Kinds) -> bool:
    return isinstance(row, dict) and all(name in row and isinstance(row[name], kind) for name, kind in kinds.items())


def _texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
