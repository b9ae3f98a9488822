"""Make rows stale on purpose, the way crashes, careless resets and old guides leave them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.cinder import rows as cinder
from stackmend.lab.simulated.nova import rows as nova
from stackmend.lab.simulated.times import stamp

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

Damage = Callable[["Cloud", str], None]

_VOLUME_STATUSES = (
    "available",
    "error",
    "detaching",
    "attaching",
    "reserved",
    "maintenance",
    "error_deleting",
)
_TASK_STATES = (
    "rebooting",
    "rebooting_hard",
    "reboot_started_hard",
    "powering-off",
    "powering-on",
    "image_snapshot",
    "migrating",
    "deleting",
)


def harm(cloud: "Cloud", kind: str, target: str) -> dict[str, Any]:
    """Do one kind of damage to a volume, attachment or server; ValueError for an unknown kind.

    KeyError when there is no such target. The damage is no effect of the cloud: it is not journalled.
    """
    if kind not in _KINDS:
        raise ValueError(f"no kind of damage {kind!r}; one of {', '.join(_KINDS)}")
    _KINDS[kind](cloud, target)
    return {"kind": kind, "target": target}


def _volume(cloud: "Cloud", target: str) -> None:
    if cinder.volume(cloud, target) is None:
        raise KeyError(f"there is no volume {target}")


def _server(cloud: "Cloud", target: str) -> None:
    if nova.find(cloud, target) is None:
        raise KeyError(f"there is no server {target}")


def _status(status: str) -> Damage:
    def damage(cloud: "Cloud", target: str) -> None:
        _volume(cloud, target)
        cloud.cinder.update("volumes", {"id": target}, status=status)

    return damage


def _detached_only(cloud: "Cloud", target: str) -> None:
    _volume(cloud, target)
    cloud.cinder.update("volumes", {"id": target}, attach_status="detached")


def _available_detached(cloud: "Cloud", target: str) -> None:
    _volume(cloud, target)
    cloud.cinder.update("volumes", {"id": target}, status="available", attach_status="detached")


def _attachments_deleted(cloud: "Cloud", target: str) -> None:
    _volume(cloud, target)
    for attachment in cinder.attachments(cloud, volumes=[target]):
        cinder.drop(cloud, attachment)


def _attachment_deleted(cloud: "Cloud", target: str) -> None:
    row = cinder.attachment(cloud, target)
    if row is None:
        raise KeyError(f"there is no attachment {target}")
    cinder.drop(cloud, row)


def _mappings_deleted(cloud: "Cloud", target: str) -> None:
    _volume(cloud, target)
    for row in cloud.nova.all("SELECT * FROM block_device_mapping WHERE volume_id = ? AND deleted = 0", target):
        nova.drop_device(cloud, row)


def _vm_error(cloud: "Cloud", target: str) -> None:
    _server(cloud, target)
    cloud.nova.update("instances", {"uuid": target}, vm_state="error", task_state=None)


def _stuck(task_state: str) -> Damage:
    def damage(cloud: "Cloud", target: str) -> None:
        _server(cloud, target)
        cloud.nova.update("instances", {"uuid": target}, task_state=task_state)

    return damage


def _port_down(cloud: "Cloud", target: str) -> None:
    if not cloud.neutron.update("ports", {"id": target}, status="DOWN"):
        raise KeyError(f"there is no port {target}")


def _guest_lost(cloud: "Cloud", target: str) -> None:
    _server(cloud, target)
    cloud.lab.update("guests", {"uuid": target}, running=False)


def _heartbeat_stale(cloud: "Cloud", target: str) -> None:
    old = stamp().replace(stamp()[:4], "2020", 1)
    if not cloud.nova.update("services", {"host": target}, updated_at=old, last_seen_up=old):
        raise KeyError(f"there is no service on host {target}")
    cloud.neutron.update("agents", {"host": target}, heartbeat_timestamp=old)


_KINDS: dict[str, Damage] = {
    **{f"volume-{status}": _status(status) for status in _VOLUME_STATUSES},
    "volume-attach-status-detached": _detached_only,
    "volume-available-detached": _available_detached,
    "volume-attachments-deleted": _attachments_deleted,
    "attachment-deleted": _attachment_deleted,
    "bdm-deleted": _mappings_deleted,
    "server-error": _vm_error,
    **{f"server-stuck-{task}": _stuck(task) for task in _TASK_STATES},
    "guest-lost": _guest_lost,
    "port-down": _port_down,
    "heartbeat-stale": _heartbeat_stale,
}
