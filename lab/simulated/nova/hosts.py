"""What an operator sees of hosts: hypervisors, zones, interfaces."""

import json
from typing import Any

from stackmend.lab.simulated.nova import rows
from stackmend.lab.simulated.nova.servers import paged
from stackmend.lab.simulated.nova.services import compute_service, service_is_up
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import iso
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply


def _hypervisor(call: Call, row: Row, *, detail: bool) -> dict[str, Any]:
    service = compute_service(call.cloud, row["host"])
    up = service is not None and service_is_up(call.cloud, service)
    view = {
        "id": row["uuid"] if call.at_least(53) else row["id"],
        "hypervisor_hostname": row["hypervisor_hostname"],
        "state": "up" if up else "down",
        "status": "disabled" if service is not None and service["disabled"] else "enabled",
    }
    if not detail:
        return view
    view |= {name: row[name] for name in ("hypervisor_type", "hypervisor_version", "host_ip")}
    if service is not None:
        service_id = service["uuid"] if call.at_least(53) else service["id"]
        view["service"] = {
            "id": service_id,
            "host": row["host"],
            "disabled_reason": service["disabled_reason"],
        }
    return view | ({"uptime": None} if call.at_least(88) else _usage(call, row))


def _usage(call: Call, row: Row) -> dict[str, Any]:
    used = call.cloud.nova.one(
        "SELECT count(*) AS vms, total(vcpus) AS vcpus, total(memory_mb) AS ram, total(root_gb) AS disk"
        " FROM instances WHERE host = ? AND deleted = 0",
        row["host"],
    )
    assert used is not None
    return {
        "vcpus": row["vcpus"],
        "memory_mb": row["memory_mb"],
        "local_gb": row["local_gb"],
        "vcpus_used": int(used["vcpus"]),
        "memory_mb_used": 512 + int(used["ram"]),
        "local_gb_used": int(used["disk"]),
        "free_ram_mb": row["memory_mb"] - 512 - int(used["ram"]),
        "free_disk_gb": row["local_gb"] - int(used["disk"]),
        "running_vms": used["vms"],
        "current_workload": 0,
        "disk_available_least": 0,
        "cpu_info": json.loads(row["cpu_info"]) if call.at_least(28) else row["cpu_info"],
    }


def _hypervisors(call: Call) -> Reply:
    pattern = f"%{call.query.get('hypervisor_hostname_pattern', '')}%"
    found = call.cloud.nova.all(
        "SELECT * FROM compute_nodes WHERE deleted = 0 AND hypervisor_hostname LIKE ? ORDER BY id", pattern
    )
    if not found and "hypervisor_hostname_pattern" in call.query and call.at_least(53):
        raise ApiError(404, f"No hypervisor matching '{call.query['hypervisor_hostname_pattern']}' could be found.")
    found, more = paged(call, found, "uuid", 1000) if call.at_least(33) else (found, False)
    detail = call.request.url.path.endswith("/detail")
    views = [_hypervisor(call, row, detail=detail) for row in found]
    if call.flag("with_servers") and call.at_least(53):
        for view in views:
            view["servers"] = _servers_on(call, view["hypervisor_hostname"])
    body: dict[str, Any] = {"hypervisors": views}
    if more:
        url = call.request.url.include_query_params(marker=views[-1]["id"])
        body["hypervisors_links"] = [{"rel": "next", "href": str(url)}]
    return Reply(200, body)


def _servers_on(call: Call, host: str) -> list[dict[str, str]]:
    found = call.cloud.nova.all("SELECT id, uuid FROM instances WHERE deleted = 0 AND host = ? ORDER BY id", host)
    return [{"name": f"instance-{row['id']:08x}", "uuid": row["uuid"]} for row in found]


def _show_hypervisor(call: Call) -> Reply:
    wanted = call.params["hypervisor"]
    row = call.cloud.nova.one("SELECT * FROM compute_nodes WHERE (uuid = ? OR id = ?) AND deleted = 0", wanted, wanted)
    if row is None:
        raise ApiError(404, f"Hypervisor with ID '{wanted}' could not be found.")
    return Reply(200, {"hypervisor": _hypervisor(call, row, detail=True)})


def _uptime(call: Call) -> Reply:
    """Asks nova-compute itself, whose fake driver can't tell: 501 is an answer of the host all the same."""
    if call.at_least(88):
        raise ApiError(404, "The resource could not be found.")
    wanted = call.params["hypervisor"]
    row = call.cloud.nova.one("SELECT * FROM compute_nodes WHERE (uuid = ? OR id = ?) AND deleted = 0", wanted, wanted)
    if row is None:
        raise ApiError(404, f"Hypervisor with ID '{wanted}' could not be found.")
    service = compute_service(call.cloud, row["host"])
    if service is None or not service_is_up(call.cloud, service):
        raise ApiError(400, f"Compute service of {row['host']} is unavailable at this time.")
    if not call.cloud.hypervisors.alive(row["host"]):
        raise ApiError(500, "Unexpected API Error. <class 'oslo_messaging.exceptions.MessagingTimeout'>")
    raise ApiError(501, "The requested functionality is not supported.")


def _diagnostics(call: Call) -> Reply:
    """What the hypervisor itself says of a guest; only of one that runs."""
    row = rows.instance(call)
    if not call.cloud.hypervisors.alive(row["host"]):
        raise ApiError(500, "Unexpected API Error. <class 'oslo_messaging.exceptions.MessagingTimeout'>")
    if not call.cloud.hypervisors.guests.running(row["uuid"], row["host"]):
        words = "Cannot get_diagnostics while the instance is in this state."
        raise ApiError(409, f"Instance {row['uuid']} in power state shutdown. {words}")
    return Reply(200, {"state": "running", "driver": "fake", "hypervisor": "fake", "uptime": 7})


def _zones(call: Call) -> Reply:
    hosts = None
    if call.request.url.path.endswith("/detail"):
        hosts = {host: _zone_host(call, host) for host in call.cloud.hypervisors.names()}
    zone = {"zoneName": "nova", "zoneState": {"available": True}, "hosts": hosts}
    return Reply(200, {"availabilityZoneInfo": [zone]})


def _zone_host(call: Call, host: str) -> dict[str, Any]:
    row = compute_service(call.cloud, host)
    assert row is not None
    return {
        "nova-compute": {
            "available": service_is_up(call.cloud, row),
            "active": not row["disabled"],
            "updated_at": iso(row["updated_at"]),
        }
    }


def _interfaces(call: Call) -> Reply:
    found = call.cloud.neutron.all(
        "SELECT p.*, a.ip_address, a.subnet_id FROM ports p LEFT JOIN ipallocations a ON a.port_id = p.id"
        " WHERE p.device_id = ?",
        rows.instance(call)["uuid"],
    )
    interfaces: list[dict[str, Any]] = [
        {
            "net_id": row["network_id"],
            "port_id": row["id"],
            "mac_addr": row["mac_address"],
            "port_state": row["status"],
            "fixed_ips": [{"subnet_id": row["subnet_id"], "ip_address": row["ip_address"]}],
        }
        for row in found
    ]
    if call.at_least(70):
        interfaces = [interface | {"tag": None} for interface in interfaces]
    return Reply(200, {"interfaceAttachments": interfaces})


def _nothing(name: str) -> Any:
    return lambda _call: Reply(200, {name: []})


_RULE = "os_compute_api:{}"
OPERATIONS = (
    Operation("GET", "/os-hypervisors", _hypervisors, policy=_RULE.format("os-hypervisors:list")),
    Operation("GET", "/os-hypervisors/detail", _hypervisors, policy=_RULE.format("os-hypervisors:list-detail")),
    Operation("GET", "/os-hypervisors/{hypervisor}", _show_hypervisor, policy=_RULE.format("os-hypervisors:show")),
    Operation("GET", "/os-hypervisors/{hypervisor}/uptime", _uptime, policy=_RULE.format("os-hypervisors:uptime")),
    Operation(
        "GET", "/servers/{server}/diagnostics", _diagnostics, policy=_RULE.format("os-server-diagnostics"), since=48
    ),
    Operation("GET", "/servers/{server}/os-interface", _interfaces),
    Operation("GET", "/os-keypairs", _nothing("keypairs")),
    Operation("GET", "/extensions", _nothing("extensions")),
    Operation("GET", "/os-availability-zone", _zones),
    Operation("GET", "/os-availability-zone/detail", _zones, policy=_RULE.format("os-availability-zone:detail")),
)
