"""What masakari-api says of itself and of a notification, for its monitors to find here what they look for."""

from collections.abc import Mapping
from typing import Any

_LINKS = [{"rel": "self", "href": "/v1/"}]
_SHOWN = {"id": "v1.0", "status": "CURRENT", "version": "1.3", "min_version": "1.0", "links": _LINKS}
VERSIONS: dict[str, Any] = {"versions": [_SHOWN]}
VERSION: dict[str, Any] = {"version": _SHOWN}


def shown(payload: Mapping[str, Any], uuid: str, now: str) -> dict[str, Any]:
    """The notification as masakari-api answers with it; its uuid is our alarm's."""
    told = payload["notification"]
    own = {"notification_uuid": uuid, "id": uuid, "source_host_uuid": "", "status": "new"}
    return {"notification": {**told, **own, "created_at": now, "updated_at": None}}
