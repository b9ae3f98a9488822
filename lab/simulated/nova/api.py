"""The compute service: its place, versions and operations."""

from stackmend.lab.simulated.nova import (
    actions,
    attachments,
    catalogue,
    create,
    groups,
    history,
    hosts,
    live,
    migrations,
    servers,
    services,
)
from stackmend.lab.simulated.web import Call, Operation, Reply, Service, Versions, fault_body

VERSIONS = Versions("compute", (2, 1), (2, 104), "X-OpenStack-Nova-API-Version")


def _version(call: Call) -> dict[str, object]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": f"2.{call.cloud.settings.compute_minor}",
        "min_version": "2.1",
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{call.cloud.url('compute')}/v2.1/"}],
    }


def _root(call: Call) -> Reply:
    return Reply(200, {"versions": [_version(call)]})


def _v21(call: Call) -> Reply:
    return Reply(200, {"version": _version(call)})


def _under_v21(operation: Operation) -> Operation:
    return Operation(
        operation.method,
        f"/v2.1{operation.path}",
        operation.handler,
        policy=operation.policy,
        since=operation.since,
    )


_PARTS = (servers, create, actions, history, attachments, services, hosts, migrations, live, groups, catalogue)
SERVICE = Service(
    "compute",
    "/compute",
    fault_body,
    (
        Operation("GET", "/", _root, open=True),
        Operation("GET", "/v2.1", _v21, open=True),
        Operation("GET", "/v2.1/", _v21, open=True),
        *(_under_v21(operation) for part in _PARTS for operation in part.OPERATIONS),
    ),
    VERSIONS,
)
