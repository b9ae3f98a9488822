"""What the images of servers ask of a host, from wherever the cloud shows it. It reads only.

Nova keeps a server's own copy of its image's properties from its creation on, and shows it from compute API 2.98
on, but not for a server whose root disk is a volume. Before that, glance has the image as it is now; for such a
server, cinder has what the volume was made from.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.errors import CloudError

Row = dict[str, Any]
# What can keep a server from a host; nothing else of an image is anybody's business in a plan.
KEPT = (
    "hw_cpu_policy",
    "hw_machine_type",
    "hw_mem_encryption",
    "hw_mem_page_size",
    "hw_numa_nodes",
    "hw_tpm_version",
    "os_secure_boot",
)
_READERS = 16


def at_glance(cloud: Cloud, servers: Iterable[Row]) -> dict[str, Row | None]:
    """By image id, the images of those servers whose properties nova does not show: one call for each image.

    None for one that glance does not show: it is gone, or glance is.
    """
    wanted = sorted({row["image"]["id"] for row in servers if row.get("image") and "properties" not in row["image"]})
    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(wanted, pool.map(lambda image: _image(cloud, image), wanted), strict=True))


def properties(
    server: Row, disks: Iterable[Row], volumes: Mapping[str, Row], images: Mapping[str, Row | None]
) -> Row | None:
    """Those of a server's image's properties that are KEPT, by name, as text; None where nothing shows them.

    ``server`` is nova's row, ``disks`` are the capture's; ``volumes`` are cinder's rows and ``images`` glance's.
    """
    shown = _by_its_image(server["image"], images) if server.get("image") else _by_its_root(disks, volumes)
    if shown is None:
        return None
    return {name: str(shown[name]) for name in KEPT if shown.get(name) is not None}


def _by_its_image(image: Row, images: Mapping[str, Row | None]) -> Row | None:
    return image["properties"] if "properties" in image else images[image["id"]]


def _by_its_root(disks: Iterable[Row], volumes: Mapping[str, Row]) -> Row | None:
    root = next((volumes[disk["volume_id"]] for disk in disks if disk["root"] and disk["volume_id"] in volumes), None)
    return None if root is None else root.get("volume_image_metadata") or {}


def _image(cloud: Cloud, image: str) -> Row | None:
    try:
        return reads.image(cloud, image)
    except CloudError:
        # A plan is not worth less for want of it: the verdict says that it is not known.
        return None
