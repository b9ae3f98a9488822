"""Whether a server may be moved by the databases: decided from the capture, before anything is fenced.

What nova checks when it evacuates is checked here, because a row that is written is checked by nobody. Sources:
the operations guide ("Total compute node failure"), and what nova's scheduler, claims and API would refuse.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from stackmend.flows import wishes
from stackmend.tasks.scope import names_of

Server = Mapping[str, Any]
_STATES = frozenset(["active", "stopped", "error"])
# What flavor or image asks for, and belongs to one host.
_PICKY = {
    "hw:tpm_version": "a virtual TPM, whose secrets are on the old host",
    "pci_passthrough:alias": "a PCI device",
    "hw:numa_nodes": "a NUMA topology",
    "hw:cpu_policy": "pinned CPUs",
    "hw:cpu_dedicated_mask": "pinned CPUs",
    "hw:mem_page_size": "huge pages",
    "hw:mem_encryption": "encrypted memory",
    "hw:pmem": "persistent memory",
    "resources:VGPU": "a virtual GPU",
    "accel:device_profile": "an accelerator",
}
_PLAIN = frozenset(["VCPU", "MEMORY_MB", "DISK_GB"])


@dataclass(frozen=True)
class Rules:
    """What the operator said: the hosts, whether disks are shared, whose disks are on the target already."""

    host: str
    to: str
    shared_disks: bool
    consent: Collection[str]


def judge(server: Server, captured: Mapping[str, Any], rules: Rules) -> tuple[str, str]:
    """The verdict for one server, and why."""
    why = _place(server, captured, rules) or _state(server, captured) or _bound_to_host(server, captured)
    why = why or _allocation(server, captured) or _volumes(server, captured, rules) or _ports(server, captured, rules)
    if why:
        return "impossible", why
    return _disks(server, rules)


def resources(server: Server, captured: Mapping[str, Any]) -> Mapping[str, int]:
    """What it holds on the host that it leaves."""
    held: Mapping[str, int] = captured["allocations"][server["id"]]["resources"][captured["nodes"]["source"]["uuid"]]
    return held


def _place(server: Server, captured: Mapping[str, Any], rules: Rules) -> str:
    row = captured["instances"].get(server["id"])
    if server["host"] != rules.host:
        return f"it is on {server['host'] or 'no host'}, not on {rules.host}"
    if row is None:
        return "it is not in the nova database that was given: its cell is another"
    if row["host"] != rules.host:
        return f"nova's database has it on {row['host']}: it is being moved"
    if row["node"] != captured["nodes"]["source"]["hypervisor_hostname"]:
        return f"it is on node {row['node']}, which is not {rules.host}'s compute node"
    return ""


def _state(server: Server, captured: Mapping[str, Any]) -> str:
    if server["vm_state"] not in _STATES:
        return f"it is {server['vm_state']}: only servers that are active, stopped or in error are moved"
    if server["task_state"]:
        return (
            f"nova is {server['task_state']} it: when that can't end any more, clear it (`openstack server set --state "
            f"{'error' if server['vm_state'] == 'error' else 'active'} {server['id']}`), then plan again"
        )
    if moving := captured["moving"].get(server["id"]):
        return f"nova has a migration of it under way ({moving}): let it end"
    return ""


def _bound_to_host(server: Server, captured: Mapping[str, Any]) -> str:
    asked = wishes.of(server)
    found = [what for name, what in _PICKY.items() if name in asked] + captured["picky"].get(server["id"], [])
    found += [f"a port of type {port['vnic_type']}" for port in server["ports"] if port["vnic_type"] != "normal"]
    return f"it has {found[0]}: only nova can find it a host; evacuate it" if found else ""


def _allocation(server: Server, captured: Mapping[str, Any]) -> str:
    held = captured["allocations"][server["id"]]["resources"]
    source = captured["nodes"]["source"]["uuid"]
    if set(held) != {source}:
        there = ", ".join(sorted(held)) or "no provider"
        return f"placement has its resources on {there}, not on {source} alone: `nova-manage placement audit` first"
    odd = sorted(set(held[source]) - _PLAIN)
    return f"it holds {', '.join(odd)}, which belong to the old host: evacuate it" if odd else ""


def _volumes(server: Server, captured: Mapping[str, Any], rules: Rules) -> str:
    for disk in server["disks"]:
        if not (disk["at_nova"] and disk["at_cinder"] and disk["nova_attachment"] == disk["cinder_attachment"]):
            return f"nova and cinder disagree on its volume {disk['volume_id']}: repair that first (reattach-volumes)"
        if disk["status"] != "in-use":
            return f"its volume {disk['volume_id']} is {disk['status']}: cinder attaches it nowhere else; repair it"
        if disk["bdm_id"] is None:
            return f"nova's mapping of its volume {disk['volume_id']} was not found in the nova database"
    known = {disk["nova_attachment"] for disk in server["disks"]}
    if more := sorted(set(captured["attachments"].get(server["id"], [])) - known):
        return f"cinder has attachments of it that nova does not know ({', '.join(more)}): delete them first"
    if server["disks"] and captured["connector"] is None:
        return (
            f"nothing says how {rules.to} connects volumes, none is attached there: run `nova-manage "
            "volume_attachment get_connector` there, and give what it prints as --connector FILE"
        )
    return ""


def _ports(server: Server, captured: Mapping[str, Any], rules: Rules) -> str:
    for port in server["ports"]:
        if rules.to in captured["inactive"].get(port["id"], []):
            return (
                f"its port {port['id']} has an INACTIVE binding on {rules.to}, left by a migration: neutron answers "
                "500 to any other; a user with the service role deletes it "
                f"(DELETE /v2.0/ports/{port['id']}/bindings/{rules.to})"
            )
    if server["ports"] and not captured["agents"]:
        return f"no network agent of {rules.to} is alive: its ports could not be bound there"
    return ""


def _disks(server: Server, rules: Rules) -> tuple[str, str]:
    notes = ["locked, which does not keep an administrator"] if server["locked"] else []
    notes += wishes.notes(server)
    if any(disk["encrypted"] for disk in server["disks"]):
        notes.append("it has an encrypted volume: whoever reboots it must be allowed to read its key")
    extra = server["flavor"].get("ephemeral") or server["flavor"].get("swap")
    if server["image"] is None and not extra:
        return "ready", "; ".join(["its disks are volumes", *notes])
    if rules.shared_disks:
        return "ready", "; ".join(["its disk is on storage that all hosts share, as you said", *notes])
    if names_of(server) & set(rules.consent) or "all" in rules.consent:
        return "ready", "; ".join([f"its local disk is on {rules.to} already, or may be lost, as you said", *notes])
    return (
        "needs-consent",
        "it has a local disk on the dead host, and a moved server is not built anew: copy the disk to "
        f"{rules.to} first, then say --consent {server['name']}; or --shared-disks if instance disks are on shared "
        "storage",
    )
