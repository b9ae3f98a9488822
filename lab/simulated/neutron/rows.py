"""neutron's rows: ports with their addresses and bindings, and how a binding moves."""

import json
from typing import TYPE_CHECKING, Any

from stackmend.lab.simulated.hypervisors import AGENT
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

    A host whose agent is dead gives ``binding_failed``, and the port stays DOWN.
    """
    cloud.neutron.write(
        "DELETE FROM ml2_port_binding_levels WHERE port_id = ? AND host IN"
        " (SELECT host FROM ml2_port_bindings WHERE port_id = ? AND status = 'ACTIVE')",
        port_id,
        port_id,
    )
    cloud.neutron.write("DELETE FROM ml2_port_bindings WHERE port_id = ? AND status = 'ACTIVE'", port_id)
    vif_type = "unbound" if not host else "ovs" if agent_alive(cloud, host) else "binding_failed"
    _write_binding(cloud, port_id, host, vif_type, "ACTIVE")
    cloud.neutron.update("ports", {"id": port_id}, status="ACTIVE" if vif_type == "ovs" else "DOWN")
    touch(cloud, port_id)
    return vif_type


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


def bindings(cloud: "Cloud", port_id: str) -> list[Row]:
    """Every binding of a port."""
    return cloud.neutron.all("SELECT * FROM ml2_port_bindings WHERE port_id = ? ORDER BY status", port_id)


def details(text: str | None) -> dict[str, Any]:
    """A profile or vif_details column as an object."""
    found: dict[str, Any] = json.loads(text or "{}")
    return found
