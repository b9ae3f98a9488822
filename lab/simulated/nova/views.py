"""Servers as the compute API shows them, field by field at the microversion that brought it."""

import json
from typing import Any

from stackmend.lab.simulated.ids import host_id
from stackmend.lab.simulated.nova import rows, wishes
from stackmend.lab.simulated.nova.services import service_is_up
from stackmend.lab.simulated.nova.status import SHOWS_PROGRESS, status
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import iso, zulu
from stackmend.lab.simulated.web import Call


def links(call: Call, server: str) -> list[dict[str, str]]:
    """The two links of a server."""
    url = call.cloud.url("compute")
    return [
        {"rel": "self", "href": f"{url}/v2.1/servers/{server}"},
        {"rel": "bookmark", "href": f"{url}/servers/{server}"},
    ]


class Details:
    """What the full view of some servers needs from other tables, read once for all of them."""

    def __init__(self, call: Call, instances: list[Row]) -> None:
        self._call = call
        cloud = call.cloud
        ids = [row["uuid"] for row in instances]
        listed = json.dumps(ids)
        self._metadata = rows.metadata(cloud, ids)
        self._properties = wishes.image_properties(cloud, ids)
        self._extra_specs = wishes.extra_specs(cloud, ids)
        self._flavors = {row["id"]: row for row in cloud.lab.all("SELECT * FROM flavors")}
        self._hosts = {h: self._host_status(h) for h in {row["host"] for row in instances if row["host"]}}
        self._devices = _by(
            "instance_uuid",
            cloud.nova.all(
                "SELECT instance_uuid, volume_id, delete_on_termination FROM"
                " block_device_mapping WHERE deleted = 0"
                " AND volume_id IS NOT NULL AND instance_uuid IN (SELECT value FROM"
                " json_each(?)) ORDER BY id",
                listed,
            ),
        )
        self._ports = _by(
            "device_id",
            cloud.neutron.all(
                "SELECT p.device_id, p.mac_address, a.ip_address, n.name FROM ports p JOIN networks n"
                " ON n.id = p.network_id JOIN ipallocations a ON a.port_id = p.id"
                " WHERE p.device_id IN (SELECT value FROM json_each(?))",
                listed,
            ),
        )
        self._faults = _by(
            "instance_uuid",
            cloud.nova.all(
                "SELECT * FROM instance_faults WHERE deleted = 0 AND instance_uuid IN (SELECT"
                " value FROM json_each(?))"
                " ORDER BY id DESC",
                listed,
            ),
        )

    def _host_status(self, host: str) -> str:
        row = self._call.cloud.nova.one(
            "SELECT * FROM services WHERE host = ? AND binary = 'nova-compute' AND deleted = 0", host
        )
        if row is None:
            return ""
        if row["forced_down"]:
            return "DOWN"
        if row["disabled"]:
            return "MAINTENANCE"
        return "UP" if service_is_up(self._call.cloud, row) else "UNKNOWN"

    def view(self, row: Row, *, single: bool = False) -> dict[str, Any]:
        """One server in full; ``single`` for the fields that a list leaves out."""
        shown_status = status(row["vm_state"], row["task_state"])
        view = {**self._common(row, shown_status), **self._states(row), **self._versioned(row, single)}
        if shown_status in SHOWS_PROGRESS:
            view["progress"] = row["progress"] or 0
        if self._call.caller.admin:
            view.update(self._admin_fields(row))
        fault = self._faults.get(row["uuid"])
        if shown_status == "ERROR" and fault:
            view["fault"] = _fault(fault[0], admin=self._call.caller.admin)
        return view

    def _common(self, row: Row, shown_status: str) -> dict[str, Any]:
        return {
            "id": row["uuid"],
            "name": row["display_name"],
            "status": shown_status,
            "tenant_id": row["project_id"],
            "user_id": row["user_id"],
            "metadata": self._metadata[row["uuid"]],
            "hostId": host_id(row["project_id"], row["host"] or ""),
            "image": self._image(row),
            "flavor": self._flavor(row),
            "created": zulu(row["created_at"]),
            "updated": zulu(row["updated_at"] or row["created_at"]),
            "addresses": self._addresses(row["uuid"]),
            "accessIPv4": "",
            "accessIPv6": "",
            "links": links(self._call, row["uuid"]),
            "OS-DCF:diskConfig": "MANUAL",
            "OS-EXT-AZ:availability_zone": row["availability_zone"],
            "config_drive": row["config_drive"] or "",
            "key_name": row["key_name"],
            "security_groups": [{"name": "default"}],
        }

    def _states(self, row: Row) -> dict[str, Any]:
        return {
            "OS-SRV-USG:launched_at": iso(row["launched_at"]),
            "OS-SRV-USG:terminated_at": iso(row["terminated_at"]),
            "OS-EXT-STS:task_state": row["task_state"],
            "OS-EXT-STS:vm_state": row["vm_state"],
            "OS-EXT-STS:power_state": row["power_state"] or 0,
            "os-extended-volumes:volumes_attached": self._volumes(row["uuid"]),
        }

    def _versioned(self, row: Row, single: bool) -> dict[str, Any]:
        fields: list[tuple[int, str, Any]] = [
            (9, "locked", bool(row["locked"])),
            (19, "description", row["display_description"]),
            (26, "tags", []),
            (63, "trusted_image_certificates", None),
            (73, "locked_reason", self._locked_reason(row) if row["locked"] else None),
            (90, "OS-EXT-SRV-ATTR:hostname", row["hostname"]),
            (96, "pinned_availability_zone", None),
            (100, "scheduler_hints", {}),
        ]
        if single:
            fields.append((71, "server_groups", _groups(self._call, row["uuid"])))
        return {name: value for minor, name, value in fields if self._call.at_least(minor)}

    def _locked_reason(self, row: Row) -> str | None:
        found = self._call.cloud.nova.one(
            "SELECT value FROM instance_system_metadata WHERE instance_uuid = ? AND key = 'locked_reason'"
            " AND deleted = 0",
            row["uuid"],
        )
        return found["value"] if found else None

    def _admin_fields(self, row: Row) -> dict[str, Any]:
        fields = {
            "OS-EXT-SRV-ATTR:host": row["host"],
            "OS-EXT-SRV-ATTR:instance_name": f"instance-{row['id']:08x}",
            "OS-EXT-SRV-ATTR:hypervisor_hostname": row["node"],
        }
        if self._call.at_least(3):
            fields |= {
                f"OS-EXT-SRV-ATTR:{name}": row[name]
                for name in ("hostname", "kernel_id", "launch_index", "ramdisk_id", "reservation_id")
            }
            fields["OS-EXT-SRV-ATTR:root_device_name"] = row["root_device_name"]
            fields["OS-EXT-SRV-ATTR:user_data"] = row["user_data"]
        if self._call.at_least(16):
            fields["host_status"] = self._hosts.get(row["host"], "")
        return fields

    def _image(self, row: Row) -> Any:
        if not row["image_ref"]:
            return ""
        url = f"{self._call.cloud.url('compute')}/images/{row['image_ref']}"
        image: dict[str, Any] = {"id": row["image_ref"], "links": [{"rel": "bookmark", "href": url}]}
        return {**image, "properties": self._properties[row["uuid"]]} if self._call.at_least(98) else image

    def _flavor(self, row: Row) -> dict[str, Any]:
        flavor = self._flavors[row["instance_type_id"]]
        if self._call.at_least(47):
            return {
                "vcpus": flavor["vcpus"],
                "ram": flavor["memory_mb"],
                "disk": flavor["root_gb"],
                "ephemeral": 0,
                "swap": 0,
                "original_name": flavor["name"],
                "extra_specs": self._extra_specs[row["uuid"]],
            }
        url = f"{self._call.cloud.url('compute')}/flavors/{flavor['flavorid']}"
        return {"id": flavor["flavorid"], "links": [{"rel": "bookmark", "href": url}]}

    def _addresses(self, server: str) -> dict[str, Any]:
        addresses: dict[str, Any] = {}
        for port in self._ports.get(server, []):
            addresses.setdefault(port["name"], []).append(
                {
                    "version": 4,
                    "addr": port["ip_address"],
                    "OS-EXT-IPS:type": "fixed",
                    "OS-EXT-IPS-MAC:mac_addr": port["mac_address"],
                }
            )
        return addresses

    def _volumes(self, server: str) -> list[dict[str, Any]]:
        devices = self._devices.get(server, [])
        if not self._call.at_least(3):
            return [{"id": device["volume_id"]} for device in devices]
        return [
            {"id": device["volume_id"], "delete_on_termination": bool(device["delete_on_termination"])}
            for device in devices
        ]


def _by(column: str, found: list[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in found:
        grouped.setdefault(row[column], []).append(row)
    return grouped


def _fault(row: Row, *, admin: bool) -> dict[str, Any]:
    fault = {"code": row["code"], "created": zulu(row["created_at"]), "message": row["message"]}
    return {**fault, "details": row["details"]} if admin and row["details"] else fault


def _groups(call: Call, server: str) -> list[str]:
    found = call.cloud.lab.all("SELECT group_uuid FROM group_members WHERE instance_uuid = ?", server)
    return [row["group_uuid"] for row in found]
