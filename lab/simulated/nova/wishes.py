"""What servers ask of a host: their copies of their image's properties and of their flavor's extra specs.

Nova keeps the first in a server's system metadata and the second in its extra row.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp
from stackmend.lab.simulated.web import ApiError, Call

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

_PREFIX = "image_"
# The names of nova's own properties (nova.objects.ImageMetaProps) all begin so; others are kept and not shown.
_SHOWN = ("hw_", "os_", "img_")
_TRUE = ("true", "yes", "1", "on", "y", "t")


def keep(cloud: "Cloud", server: str, image: Mapping[str, str], flavor: Mapping[str, str]) -> None:
    """Write a new server's copies of its image's properties and of its flavor's extra specs."""
    for name, value in image.items():
        values = {"instance_uuid": server, "key": _PREFIX + name, "value": value}
        cloud.nova.insert("instance_system_metadata", created_at=stamp(), deleted=0, **values)
    if flavor:
        kept = {"cur": {"nova_object.name": "Flavor", "nova_object.data": {"extra_specs": dict(flavor)}}}
        cloud.nova.insert(
            "instance_extra", created_at=stamp(), instance_uuid=server, flavor=json.dumps(kept), deleted=0
        )


def image_properties(cloud: "Cloud", servers: list[str]) -> dict[str, dict[str, str]]:
    """By server, those of its image's properties that nova shows."""
    found: dict[str, dict[str, str]] = {server: {} for server in servers}
    for row in cloud.nova.all(
        "SELECT instance_uuid, key, value FROM instance_system_metadata WHERE deleted = 0 AND value IS NOT NULL"
        " AND instance_uuid IN (SELECT value FROM json_each(?))",
        json.dumps(servers),
    ):
        name = row["key"].removeprefix(_PREFIX)
        if name != row["key"] and name.startswith(_SHOWN):
            found[row["instance_uuid"]][name] = row["value"]
    return found


def extra_specs(cloud: "Cloud", servers: list[str]) -> dict[str, dict[str, str]]:
    """By server, the extra specs of its own copy of its flavor."""
    found: dict[str, dict[str, str]] = {server: {} for server in servers}
    for row in cloud.nova.all(
        "SELECT instance_uuid, flavor FROM instance_extra WHERE deleted = 0 AND flavor IS NOT NULL"
        " AND instance_uuid IN (SELECT value FROM json_each(?))",
        json.dumps(servers),
    ):
        found[row["instance_uuid"]] = json.loads(row["flavor"])["cur"]["nova_object.data"]["extra_specs"]
    return found


def of_image(cloud: "Cloud", image: str) -> dict[str, str]:
    """The properties of an image, as glance has them now."""
    row = cloud.lab.one("SELECT properties FROM images WHERE id = ?", image)
    return dict(json.loads(row["properties"] or "{}")) if row else {}


def refuse(call: Call, row: Row, operation: str) -> None:
    """400 for what nova does with no server that has a virtual TPM, or (live-migration) whose memory is encrypted."""
    server, live = row["uuid"], operation == "live-migration"
    image, flavor = image_properties(call.cloud, [server])[server], extra_specs(call.cloud, [server])[server]
    tpm = flavor.get("hw:tpm_version") or image.get("hw_tpm_version")
    if tpm and not (live and flavor.get("hw:tpm_secret_security") == "host"):
        raise ApiError(400, f"Operation '{operation}' not supported for vTPM-enabled instance ({server}).")
    encrypted = (flavor.get("hw:mem_encryption", ""), image.get("hw_mem_encryption", ""))
    if live and any(value.lower() in _TRUE for value in encrypted):
        raise ApiError(400, f"Operation '{operation}' not supported for mem encryption enabled instance ({server}).")
