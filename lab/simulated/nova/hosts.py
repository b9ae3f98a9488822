"""What an operator sees of hosts: hypervisors, migrations, groups, aggregates, zones, interfaces."""

import json
from typing import Any

from stackmend.lab.simulated.nova import rows
from stackmend.lab.simulated.nova.services import compute_service, service_is_up
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import from_query, iso
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
    detail = call.request.url.path.endswith("/detail")
    views = [_hypervisor(call, row, detail=detail) for row in found]
    if call.flag("with_servers") and call.at_least(53):
        for view in views:
            view["servers"] = _servers_on(call, view["hypervisor_hostname"])
    return Reply(200, {"hypervisors": views})


def _servers_on(call: Call, host: str) -> list[dict[str, str]]:
    found = call.cloud.nova.all("SELECT id, uuid FROM instances WHERE deleted = 0 AND host = ? ORDER BY id", host)
    return [{"name": f"instance-{row['id']:08x}", "uuid": row["uuid"]} for row in found]


def _show_hypervisor(call: Call) -> Reply:
    wanted = call.params["hypervisor"]
    row = call.cloud.nova.one("SELECT * FROM compute_nodes WHERE (uuid = ? OR id = ?) AND deleted = 0", wanted, wanted)
    if row is None:
        raise ApiError(404, f"Hypervisor with ID '{wanted}' could not be found.")
    return Reply(200, {"hypervisor": _hypervisor(call, row, detail=True)})


_MIGRATION_FILTERS = {
    "instance_uuid": "instance_uuid = ?",
    "status": "status = ?",
    "migration_type": "migration_type = ?",
    "source_compute": "source_compute = ?",
    "changes-since": "updated_at >= ?",
    "changes-before": "updated_at <= ?",
}


def _migration(call: Call, row: Row) -> dict[str, Any]:
    names = (
        "id",
        "source_compute",
        "source_node",
        "dest_compute",
        "dest_node",
        "dest_host",
        "status",
        "instance_uuid",
    )
    view = {name: row[name] for name in (*names, "old_instance_type_id", "new_instance_type_id")}
    view |= {"created_at": iso(row["created_at"]), "updated_at": iso(row["updated_at"])}
    if call.at_least(23):
        view["migration_type"] = row["migration_type"]
    if call.at_least(59):
        view["uuid"] = row["uuid"]
    if call.at_least(80):
        view |= {"user_id": row["user_id"], "project_id": row["project_id"]}
    return view


def _migrations(call: Call) -> Reply:
    tests, values = ["deleted = 0"], []
    for name, test in _MIGRATION_FILTERS.items():
        if name in call.query:
            tests.append(test)
            value = call.query[name]
            values.append(from_query(value) if name.startswith("changes") else value)
    if "host" in call.query:
        tests.append("(source_compute = ? OR dest_compute = ?)")
        values += [call.query["host"]] * 2
    found = call.cloud.nova.all(
        f"SELECT * FROM migrations WHERE {' AND '.join(tests)} ORDER BY created_at DESC, id DESC", *values
    )
    return Reply(200, {"migrations": [_migration(call, row) for row in found]})


def _in_progress(call: Call) -> Reply:
    found = call.cloud.nova.all(
        "SELECT * FROM migrations WHERE instance_uuid = ? AND migration_type = 'live-migration'"
        " AND status IN ('queued', 'preparing', 'running', 'post-migrating')",
        rows.instance(call)["uuid"],
    )
    return Reply(200, {"migrations": [_migration(call, row) for row in found]})


def _group(call: Call, row: Row) -> dict[str, Any]:
    members = call.cloud.lab.all("SELECT instance_uuid FROM group_members WHERE group_uuid = ?", row["uuid"])
    view: dict[str, Any] = {
        "id": row["uuid"],
        "name": row["name"],
        "members": [member["instance_uuid"] for member in members],
    }
    if call.at_least(13):
        view |= {"project_id": row["project_id"], "user_id": row["user_id"]}
    if call.at_least(64):
        return view | {"policy": row["policy"], "rules": {}}
    return view | {"policies": [row["policy"]], "metadata": {}}


def _groups(call: Call) -> Reply:
    limit, offset = int(call.query.get("limit", 1000)), int(call.query.get("offset", 0))
    found = call.cloud.lab.all("SELECT * FROM server_groups ORDER BY name LIMIT ? OFFSET ?", limit, offset)
    everyone = call.caller.admin and "all_projects" in call.query
    groups = [_group(call, row) for row in found if everyone or row["project_id"] == call.caller.project_id]
    return Reply(200, {"server_groups": groups})


def _show_group(call: Call) -> Reply:
    row = call.cloud.lab.one("SELECT * FROM server_groups WHERE uuid = ?", call.params["group"])
    if row is None:
        raise ApiError(404, f"Instance group {call.params['group']} could not be found.")
    return Reply(200, {"server_group": _group(call, row)})


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
    Operation("GET", "/os-migrations", _migrations, policy=_RULE.format("os-migrations:index")),
    Operation("GET", "/servers/{server}/migrations", _in_progress, policy=_RULE.format("servers:migrations:index")),
    Operation("GET", "/servers/{server}/os-interface", _interfaces),
    Operation("GET", "/os-server-groups", _groups),
    Operation("GET", "/os-server-groups/{group}", _show_group),
    Operation("GET", "/os-aggregates", _nothing("aggregates"), policy=_RULE.format("os-aggregates:index")),
    Operation("GET", "/os-keypairs", _nothing("keypairs")),
    Operation("GET", "/extensions", _nothing("extensions")),
    Operation("GET", "/os-availability-zone", _zones),
    Operation("GET", "/os-availability-zone/detail", _zones, policy=_RULE.format("os-availability-zone:detail")),
)
