"""masakari: one segment with every compute host in it, and which of them are on maintenance."""

from typing import Any

from stackmend.lab.simulated.ids import stable_id
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply, Service, fault_body

_SEGMENT = {"uuid": stable_id("segment", "compute"), "name": "compute", "service_type": "COMPUTE"}


def _segments(_call: Call) -> Reply:
    return Reply(200, {"segments": [{**_SEGMENT, "recovery_method": "auto", "enabled": True}]})


def _host(call: Call, name: str) -> dict[str, Any]:
    muted = call.cloud.lab.one("SELECT 1 FROM on_maintenance WHERE host = ?", name)
    return {
        "uuid": stable_id("masakari-host", name),
        "name": name,
        "failover_segment_id": _SEGMENT["uuid"],
        "type": "COMPUTE",
        "control_attributes": "SSH",
        "reserved": False,
        "on_maintenance": muted is not None,
    }


def _hosts(call: Call) -> Reply:
    _check_segment(call)
    return Reply(200, {"hosts": [_host(call, name) for name in call.cloud.hypervisors.names()]})


def _check_segment(call: Call) -> None:
    if call.params["segment"] != _SEGMENT["uuid"]:
        raise ApiError(404, f"No failover segment with id {call.params['segment']}.")


def _named(call: Call) -> str:
    _check_segment(call)
    for name in call.cloud.hypervisors.names():
        if stable_id("masakari-host", name) == call.params["host"]:
            return name
    raise ApiError(404, f"No host with id {call.params['host']}.")


def _show(call: Call) -> Reply:
    return Reply(200, {"host": _host(call, _named(call))})


def _update(call: Call) -> Reply:
    name, wanted = _named(call), call.inner("host").get("on_maintenance")
    if not isinstance(wanted, bool):
        raise ApiError(400, f"Invalid input for field/attribute host. Value: {call.inner('host')}.")
    call.cloud.lab.write("DELETE FROM on_maintenance WHERE host = ?", name)
    if wanted:
        call.cloud.lab.insert("on_maintenance", host=name)
    call.effect("masakari.update", name, on_maintenance=wanted)
    return Reply(200, {"host": _host(call, name)})


def _version(call: Call) -> Reply:
    links = [{"rel": "self", "href": f"{call.cloud.url('masakari')}/v1/"}]
    shown = {"id": "v1.0", "status": "CURRENT", "version": "1.3", "min_version": "1.0", "links": links}
    return Reply(
        200, {"version": shown} if call.request.url.path.rstrip("/").endswith("/v1") else {"versions": [shown]}
    )


_RULE = "os_masakari_api:{}"
_HOST = "/segments/{segment}/hosts/{host}"
SERVICE = Service(
    "masakari",
    "/masakari",
    fault_body,
    (
        Operation("GET", "/", _version, open=True),
        Operation("GET", "/v1", _version, open=True),
        Operation("GET", "/v1/", _version, open=True),
        Operation("GET", "/v1/segments", _segments, policy=_RULE.format("segments:index")),
        Operation("GET", "/v1/segments/{segment}/hosts", _hosts, policy=_RULE.format("os-hosts:index")),
        Operation("GET", f"/v1{_HOST}", _show, policy=_RULE.format("os-hosts:detail")),
        Operation("PUT", f"/v1{_HOST}", _update, policy=_RULE.format("os-hosts:update")),
    ),
)
