"""neutron's rows: ports with their addresses and bindings, and how a binding moves."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.hypervisors import AGENT
from stackmend.lab.simulated.ids import new_id
from stackmend.lab.simulated.nova.services import is_fresh
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

VIF_DETAILS = {
    "connectivity": "l2",
    "port_filter": True,
    "ovs_hybrid_plug": False,
    "ovs_create_tap": True,
    "datapath_type": "system",
    "bridge_name": "br-int",
}


def port(cloud: "Cloud", port_id: str) -> Row | None:
    """The row of a port."""
    return cloud.neutron.one("SELECT * FROM ports WHERE id = ?", port_id)


def binding(cloud: "Cloud", port_id: str) -> Row | None:
    """The ACTIVE binding of a port."""
    return cloud.neutron.one("SELECT * FROM ml2_port_bindings WHERE port_id = ? AND status = 'ACTIVE'", port_id)


def agent_alive(cloud: "Cloud", host: str) -> bool:
    """True while the L2 agent of a host reports itself."""
    row = cloud.neutron.one("SELECT heartbeat_timestamp FROM agents WHERE host = ? AND binary = ?", host, AGENT)
    return row is not None and is_fresh(cloud, row["heartbeat_timestamp"])


def touch(cloud: "Cloud", port_id: str) -> None:
    """Count a change of a port, as ``revision_number`` and ``updated_at`` show it."""
    cloud.neutron.write(
        "UPDATE standardattributes SET revision_number = revision_number + 1, updated_at = ?"
        " WHERE id = (SELECT standard_attr_id FROM ports WHERE id = ?)",
        stamp(),
        port_id,
    )


def bind(cloud: "Cloud", port_id: str, host: str) -> str:
    """Bind a port to a host (``""``: to none), replacing its active binding; the vif_type that came of it.

    The port is DOWN until the host's agent has wired it. A host whose agent is dead gives ``binding_failed``.
    """
    before = binding(cloud, port_id)
    if before is not None and (before["host"], before["vif_type"]) == (host, "ovs") and agent_alive(cloud, host):
        return "ovs"
    cloud.neutron.write(
        "DELETE FROM ml2_port_binding_levels WHERE port_id = ? AND host IN"
        " (SELECT host FROM ml2_port_bindings WHERE port_id = ? AND status = 'ACTIVE')",
        port_id,
        port_id,
    )
    cloud.neutron.write("DELETE FROM ml2_port_bindings WHERE port_id = ? AND status = 'ACTIVE'", port_id)
    vif_type = "unbound" if not host else "ovs" if agent_alive(cloud, host) else "binding_failed"
    _write_binding(cloud, port_id, host, vif_type, "ACTIVE")
    unplug(cloud, port_id)
    return vif_type


def unplug(cloud: "Cloud", port_id: str) -> None:
    """A port whose binding changed is DOWN; a living agent on its host wires it a moment later."""
    cloud.neutron.update("ports", {"id": port_id}, status="DOWN")
    touch(cloud, port_id)
    cloud.background(_wired(cloud))


async def _wired(cloud: "Cloud") -> None:
    await asyncio.sleep(cloud.settings.wire_seconds)
    cloud.hypervisors.wire_ports()


def activate(cloud: "Cloud", port_id: str, host: str) -> None:
    """The end of a live migration: the binding to ``host`` is the active one, and any other is gone."""
    for table in ("ml2_port_binding_levels", "ml2_port_bindings"):
        cloud.neutron.write(f"DELETE FROM {table} WHERE port_id = ? AND host != ?", port_id, host)
    cloud.neutron.update("ml2_port_bindings", {"port_id": port_id, "host": host}, status="ACTIVE")
    cloud.journal.effect("port.update", port_id, changes={"binding:host_id": host})
    unplug(cloud, port_id)


def make_port(cloud: "Cloud", network: Row, project: str, *, host: str, **columns: Any) -> str:
    """A new port of a network, bound to ``host``; the address it got."""
    port_id = columns.pop("id", None) or new_id()
    number = cloud.neutron.insert(
        "standardattributes",
        resource_type="ports",
        created_at=stamp(),
        updated_at=stamp(),
        description=columns.pop("description", ""),
        revision_number=1,
    )
    address = columns.pop("address", None) or f"127.{20 + number // 60000}.{number // 250 % 240}.{number % 250 + 2}"
    values = {
        "name": "",
        "mac_address": "fa:16:3e:" + ":".join(port_id[n : n + 2] for n in (0, 2, 4)),
        "admin_state_up": True,
        "device_id": "",
        "device_owner": "",
        **columns,
    }
    cloud.neutron.insert(
        "ports",
        id=port_id,
        project_id=project,
        network_id=network["id"],
        status="DOWN",
        standard_attr_id=number,
        ip_allocation="immediate",
        **values,
    )
    subnet = cloud.neutron.one("SELECT id FROM subnets WHERE network_id = ?", network["id"])
    cloud.neutron.insert(
        "ipallocations",
        port_id=port_id,
        ip_address=address,
        subnet_id=subnet["id"] if subnet else "",
        network_id=network["id"],
    )
    bind(cloud, port_id, host)
    return str(address)


def _write_binding(cloud: "Cloud", port_id: str, host: str, vif_type: str, status: str) -> None:
    cloud.neutron.write(
        "INSERT OR REPLACE INTO ml2_port_bindings VALUES (?, ?, ?, 'normal', '', ?, ?)",
        port_id,
        host,
        vif_type,
        json.dumps(VIF_DETAILS) if vif_type == "ovs" else "",
        status,
    )
    if vif_type == "ovs":
        segment = cloud.neutron.one("SELECT id FROM networksegments")
        cloud.neutron.write(
            "INSERT OR REPLACE INTO ml2_port_binding_levels VALUES (?, ?, 0, 'openvswitch', ?)",
            port_id,
            host,
            segment["id"] if segment else None,
        )


def add_inactive(cloud: "Cloud", port_id: str, host: str) -> None:
    """A second, INACTIVE binding, as a live migration prepares it."""
    _write_binding(cloud, port_id, host, "ovs" if agent_alive(cloud, host) else "binding_failed", "INACTIVE")


def drop_inactive(cloud: "Cloud", port_id: str) -> None:
    """Forget the bindings that a live migration prepared and that never became active."""
    cloud.neutron.write(
        "DELETE FROM ml2_port_binding_levels WHERE port_id = ? AND host IN"
        " (SELECT host FROM ml2_port_bindings WHERE port_id = ? AND status = 'INACTIVE')",
        port_id,
        port_id,
    )
    cloud.neutron.write("DELETE FROM ml2_port_bindings WHERE port_id = ? AND status = 'INACTIVE'", port_id)


def bindings(cloud: "Cloud", port_id: str) -> list[Row]:
    """Every binding of a port."""
    return cloud.neutron.all("SELECT * FROM ml2_port_bindings WHERE port_id = ? ORDER BY status", port_id)


def details(text: str | None) -> dict[str, Any]:
    """A profile or vif_details column as an object."""
    found: dict[str, Any] = json.loads(text or "{}")
    return found
