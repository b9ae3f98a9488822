"""The volume service: its place, versions and operations."""

from typing import Any

from stackmend.lab.simulated.cinder import actions, attachments, services, volumes
from stackmend.lab.simulated.web import Call, Operation, Reply, Service, Versions, fault_body

VERSIONS = Versions("volume", (3, 0), (3, 71))


def _versions(call: Call) -> dict[str, Any]:
    return {
        "versions": [
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": "3.71",
                "min_version": "3.0",
                "updated": "2023-08-31T00:00:00Z",
                "links": [{"rel": "self", "href": f"{call.cloud.url('volume')}/v3/"}],
            }
        ]
    }


def _under_v3(operation: Operation) -> Operation:
    return Operation(
        operation.method,
        f"/v3{operation.path}",
        operation.handler,
        policy=operation.policy,
        since=operation.since,
    )


SERVICE = Service(
    "volume",
    "/volume",
    fault_body,
    (
        Operation("GET", "/", lambda call: Reply(300, _versions(call)), open=True),
        Operation("GET", "/v3", lambda call: Reply(200, _versions(call)), open=True),
        Operation("GET", "/v3/", lambda call: Reply(200, _versions(call)), open=True),
        *(_under_v3(operation) for part in (volumes, actions, attachments, services) for operation in part.OPERATIONS),
    ),
    VERSIONS,
)
