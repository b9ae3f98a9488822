"""What a server asks of the host that it runs on: its flavor's extra specs and its image's properties, merged.

A wish is ``hw:NAME`` in a flavor and ``hw_NAME`` in an image (``os`` alike). Where both have it nova goes by the
flavor's, and has refused at creation what contradicts (nova.virt.hardware, 2025.1 and 2026.2).
"""

from collections.abc import Mapping
from typing import Any

_FALSE = frozenset(["false", "no", "off", "0", "f", "n"])
# Values that ask for nothing. Machine types: those that every QEMU of an architecture knows as its newest.
_NOTHING = {
    "hw:cpu_policy": frozenset(["shared"]),
    "hw:machine_type": frozenset(["pc", "q35", "virt", "pseries", "s390-ccw-virtio"]),
    "hw:mem_encryption": _FALSE,
    "os:secure_boot": frozenset(["disabled", "optional"]),
}


def of(server: Mapping[str, Any]) -> dict[str, str]:
    """What a captured server asks for, by the flavor's name for it; a value that asks for nothing is left out."""
    image = {name.replace("_", ":", 1): value for name, value in (server.get("image_properties") or {}).items()}
    flavor = {name: value for name, value in server["flavor"]["extra_specs"].items() if value}
    return {name: value for name, value in (image | flavor).items() if _asks(name, value)}


def notes(server: Mapping[str, Any]) -> list[str]:
    """That the image's part of it is not known, where that is so."""
    # A capture from before this was read has no such key: there was none, then.
    if server.get("image_properties", {}) is not None:
        return []
    return ["what its image asks of a host is unknown (the image is gone, or is not shown): nova may yet refuse"]


def _asks(name: str, value: str) -> bool:
    return bool(value) and str(value).lower() not in _NOTHING.get(name, ())
