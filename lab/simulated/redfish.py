"""Redfish of the hosts' management controllers: power state and reset, as a fence agent uses them."""

import base64
import binascii
from typing import Any

from stackmend.lab.simulated.identity import PASSWORD
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply, Service

USER = "admin"
SYSTEMS = "/redfish/v1/Systems"
_RESETS = ("On", "ForceOff", "GracefulShutdown", "ForceRestart", "GracefulRestart")


def _error(_status: int, message: str, kind: str, _request_id: str) -> Any:
    return {"error": {"code": kind or "Base.1.8.GeneralError", "message": message}}


def _root(call: Call) -> Reply:
    links = {"Systems": {"@odata.id": SYSTEMS}}
    return Reply(200, {"@odata.id": "/redfish/v1", "Id": "RootService", "RedfishVersion": "1.6.0", **links})


def _systems(call: Call) -> Reply:
    _check_password(call)
    members = [{"@odata.id": f"{SYSTEMS}/{host}"} for host in call.cloud.hypervisors.names()]
    return Reply(200, {"@odata.id": SYSTEMS, "Members": members, "Members@odata.count": len(members)})


def _system(call: Call) -> Reply:
    host = _host(call)
    path = f"{SYSTEMS}/{host}"
    reset = {
        "target": f"{path}/Actions/ComputerSystem.Reset",
        "ResetType@Redfish.AllowableValues": list(_RESETS),
    }
    view = {
        "@odata.id": path,
        "Id": host,
        "Name": host,
        "HostName": host,
        "SystemType": "Physical",
        "PowerState": "On" if call.cloud.hypervisors.powered(host) else "Off",
        "Status": {"State": "Enabled", "Health": "OK"},
        "Actions": {"#ComputerSystem.Reset": reset},
    }
    return Reply(200, view)


def _reset(call: Call) -> Reply:
    host, kind = _host(call), call.json().get("ResetType")
    if kind not in _RESETS:
        raise ApiError(400, f"The value {kind} for the parameter ResetType is not one of {', '.join(_RESETS)}.")
    hypervisors = call.cloud.hypervisors
    call.effect("host.reset", host, reset_type=kind)
    if kind != "On" and hypervisors.powered(host):
        hypervisors.power_off(host)
    if kind in ("On", "ForceRestart", "GracefulRestart") and not hypervisors.powered(host):
        hypervisors.power_on(host)
    return Reply(204)


def _host(call: Call) -> str:
    _check_password(call)
    host = call.params["host"]
    if host not in call.cloud.hypervisors.names():
        raise ApiError(404, f"The resource {SYSTEMS}/{host} could not be found.", "Base.1.8.ResourceMissingAtURI")
    return host


def _check_password(call: Call) -> None:
    given = call.request.headers.get("authorization", "").removeprefix("Basic ")
    try:
        user, _, password = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = password = ""
    if (user, password) != (USER, PASSWORD):
        raise ApiError(401, "The user name or the password is wrong.", "Base.1.8.NoValidSession")


SERVICE = Service(
    name="redfish",
    prefix="/redfish",
    error_body=_error,
    operations=(
        Operation("GET", "/v1", _root, open=True),
        Operation("GET", "/v1/", _root, open=True),
        Operation("GET", "/v1/Systems", _systems, open=True),
        Operation("GET", "/v1/Systems/{host}", _system, open=True),
        Operation("POST", "/v1/Systems/{host}/Actions/ComputerSystem.Reset", _reset, open=True),
    ),
)
