"""Any captured cloud, as the captures of all procedures record it together; nothing in it need make sense."""

from typing import Any

from hypothesis import strategies as st

from stackmend.clients.inventory import Host
from stackmend.tasks.compute_place import facts_of

Row = dict[str, Any]
HOSTS = ("c1", "c2", "c3")
DEAD, TARGET = HOSTS[:2]
PROJECTS = ("shop", "lab")
NAMES = ("db", "web", "app", "cache", "amphora-1")
VM_STATES = (
    *("active", "stopped", "paused", "error", "suspended", "rescued", "resized", "shelved", "shelved_offloaded"),
    *("building", "soft-delete", "deleted"),
)
# Whose guest may be on another host, or is to be on none.
LEAVING = (
    *("deleting", "soft-deleting", "migrating"),
    *("resize_prep", "resize_migrating", "resize_migrated", "resize_finish", "resize_reverting"),
)
TASK_STATES = (
    *(*LEAVING, "rebooting", "rebooting_hard", "reboot_started", "reboot_started_hard"),
    *("powering-off", "powering-on", "image_snapshot", "rebuilding", "spawning", "suspending", "pausing"),
)
STATUSES = (
    *("in-use", "available", "error", "detaching", "attaching", "reserved", "maintenance", "deleted"),
    *("error_deleting", "deleting", "backing-up", "retyping", "migrating"),
)
SPECS = (
    *("hw:tpm_version", "hw:numa_nodes", "hw:cpu_policy", "pci_passthrough:alias", "resources:VGPU"),
    *("hw:mem_encryption", "hw:tpm_secret_security", "HA"),
)
_VERSION = {"live": "2.68", "cold": "2.56", "abort": "2.65", "force-complete": "2.22"}
_WHOLE = {
    "device": "/dev/vdb",
    "root": False,
    "boot_index": None,
    "tag": None,
    "delete_on_termination": False,
    "bdm_id": 7,
    "bdm_uuid": "bdm-7",
    "nova_attachment": "attachment-1",
    "at_nova": True,
    "cinder_attachment": "attachment-1",
    "at_cinder": True,
    "attached_host": "c1",
    "mode": "rw",
    "connection_digest": None,
    "status": "in-use",
    "attach_status": None,
    "multiattach": False,
    "encrypted": False,
    "others": [],
    "restorable": False,
    "legacy_row": None,
}
_LEGACY = {"mountpoint": "/dev/vdb", "status": "in-use", "attach_status": "attached", "instance_uuid": "server-0"}


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """The usual value, or one of the others: were all of a kind, no server would ever be fit to be moved."""
    return st.sampled_from([*[usual] * max(4, len(others)), *others])


def disks(volume: str) -> st.SearchStrategy[Row]:
    """A volume on a server, as nova and cinder know it: as it should be, or in any other way."""
    whole = {**_WHOLE, "volume_id": volume}
    return st.just(whole) | _damaged(volume)


def _damaged(volume: str) -> st.SearchStrategy[Row]:
    return st.fixed_dictionaries(
        {
            "volume_id": st.just(volume),
            "device": one_of("/dev/vda", "/dev/vdb", None),
            "root": st.booleans(),
            "boot_index": one_of(0, None, -1),
            "tag": one_of(None, "data"),
            "delete_on_termination": st.booleans(),
            "bdm_id": one_of(7, None),
            "bdm_uuid": one_of("bdm-7", None),
            "nova_attachment": one_of("attachment-1", None),
            "at_nova": st.booleans(),
            "cinder_attachment": one_of("attachment-1", "attachment-2", None),
            "at_cinder": st.booleans(),
            "attached_host": one_of(*HOSTS, None),
            "mode": one_of("rw", None),
            "connection_digest": st.none(),
            "status": st.sampled_from(STATUSES),
            "attach_status": one_of(None, "attached", "detached"),
            "multiattach": st.booleans(),
            "encrypted": st.booleans(),
            "others": one_of([], ["server-0"], ["server-9"]),
            "restorable": st.booleans(),
            "legacy_row": one_of(None, _LEGACY),
        }
    ).filter(lambda disk: disk["at_nova"] or disk["at_cinder"])


def metadata() -> st.SearchStrategy[dict[str, str]]:
    """What a server's owner may have said of the order, and of SSH."""
    after = st.lists(one_of(*NAMES, "server-1", "group:g", "nobody"), max_size=2).map(", ".join)
    priority = one_of("1", "-3", "007", "1_0", "soon", "", "9" * 30)
    said = {"stackmend:after": after, "stackmend:priority": priority, "stackmend:ssh-reboot": one_of("true", "no")}
    return st.fixed_dictionaries({}, optional=said)


def servers(number: int) -> st.SearchStrategy[Row]:
    """A server in any state."""
    volumes = st.lists(one_of("volume-0", "volume-1", "volume-2"), max_size=2, unique=True)
    return st.fixed_dictionaries(
        {
            "id": st.just(f"server-{number}"),
            "name": st.sampled_from(NAMES),
            "instance_name": one_of(None, f"instance-{number:08x}"),
            "project": st.sampled_from(PROJECTS),
            "vm_state": mostly("active", *VM_STATES),
            "task_state": mostly(None, *TASK_STATES),
            "power_state": one_of(0, 1, 3, 4, None),
            "host": mostly(DEAD, *HOSTS, None),
            "updated": st.just("2026-01-01T00:00:00Z"),
            "status": st.just("ACTIVE"),
            "locked": st.booleans(),
            "metadata": metadata(),
            "labels": one_of({}, {"HA": "yes"}),
            "image": mostly(None, "image-1"),
            "root_device": st.just("/dev/vda"),
            "flavor": flavors(),
            "addresses": st.just(["10.0.0.9"]),
            "disks": volumes.flatmap(lambda found: st.tuples(*map(disks, found))).map(list),
            "ports": mostly([_port(number)], [], [{**_port(number), "vnic_type": "direct"}]),
            "stopped_by": one_of(None, "user", "nova"),
        }
    )


def flavors() -> st.SearchStrategy[Row]:
    """A flavor, with what binds a server to a host or keeps it from moving."""
    specs = st.just({}) | st.dictionaries(st.sampled_from(SPECS), one_of("true", "2", "shared", "host"), max_size=2)
    extra = mostly(0, 4)
    return st.fixed_dictionaries({"name": st.just("small"), "extra_specs": specs, "ephemeral": extra, "swap": extra})


def fleets(most: int = 5) -> st.SearchStrategy[list[Row]]:
    """Some servers."""
    return st.integers(0, most).flatmap(lambda count: st.tuples(*map(servers, range(count)))).map(list)


@st.composite
def captures(draw: st.DrawFn, legacy: bool = False) -> Row:
    """A captured cloud."""
    found = draw(fleets())
    ids = [server["id"] for server in found]
    members = draw(st.lists(st.sampled_from([*ids, "server-9"]), max_size=3, unique=True))
    group = {"name": "g", "project": "shop", "members": members, "policy": draw(one_of("anti-affinity", None))}
    captured = {
        "format": 1,
        "taken_at": "2026-01-01T00:00:00+00:00",
        "scope": {"servers": [], "hosts": [], "projects": [], "exclude": []},
        "source": "api",
        "databases": draw(one_of([], ["cinder", "nova"])),
        "legacy": legacy and draw(st.booleans()),
        "groups": draw(one_of([], [group])),
        "servers": found,
        **draw(_hosts(ids)),
        **draw(_rows(ids)),
    }
    return {**captured, "then": draw(fleets())} if draw(st.booleans()) else captured


def _hosts(ids: list[str]) -> st.SearchStrategy[Row]:
    """What is known of the hosts: their computes, their room, and what each server holds."""
    amounts = mostly({"VCPU": 8, "MEMORY_MB": 8}, {"VCPU": 1}, {})
    return st.fixed_dictionaries(
        {
            "host": st.just(DEAD),
            "computes": st.tuples(*map(_compute, HOSTS)).map(lambda rows: {row["host"]: row for row in rows}),
            "free": st.fixed_dictionaries(dict.fromkeys(HOSTS, amounts)),
            "held": st.fixed_dictionaries({server: mostly({"VCPU": 1, "MEMORY_MB": 2}, {}) for server in ids}),
            "versions": st.just(_VERSION),
            "evacuate_version": one_of("2.29", "2.68", "2.95"),
            "fence_agent": one_of("", "fence_ipmilan"),
            "power": one_of("", "on", "off"),
            "power_why": one_of("", "its controller is silent"),
            "node": one_of(None, "node-1"),
            "place": st.just(facts_of(Host(DEAD))),
            "masakari": one_of(None, {"on_maintenance": True, "segment": "s", "host": "m"}),
            "left": st.just({"allocations": [], "odd": [], "bindings": []}),
        }
    )


def _compute(host: str) -> st.SearchStrategy[Row]:
    row = {"id": f"service-{host}", "host": host, "zone": "nova", "forced_down": False, "updated_at": None}
    states = st.tuples(mostly("up", "down"), mostly("enabled", "disabled"), one_of(None, "repair"))
    return states.map(lambda found: {**row, "state": found[0], "status": found[1], "disabled_reason": found[2]})


def _rows(ids: list[str]) -> st.SearchStrategy[Row]:
    """What a move by the databases must know besides."""
    nodes = {
        side: {"id": number, "uuid": f"uuid-{host}", "host": host, "hypervisor_hostname": host, "host_ip": "10.0.0.1"}
        for number, (side, host) in enumerate((("source", DEAD), ("target", TARGET)))
    }
    held = mostly({"VCPU": 1}, {"VCPU": 2, "MEMORY_MB": 3}, {"CUSTOM_GPU": 1}, {})
    resources = held.flatmap(lambda amounts: mostly({"uuid-c1": amounts}, {"uuid-c3": amounts}, {}))
    allocation = resources.map(lambda found: {"resources": found, "project": "p", "user": "u", "generation": 1})
    listed = mostly({}, {"server-0": ["something"]}, {"server-9": ["something"]})
    return st.fixed_dictionaries(
        {
            "nodes": st.just(nodes),
            "compute_id": st.booleans(),
            "migration_columns": st.just(["uuid", "instance_uuid", "status"]),
            "instances": _instances(ids),
            "allocations": st.fixed_dictionaries(dict.fromkeys(ids, allocation)),
            "inactive": mostly({}, {"port-0": [TARGET]}),
            "picky": listed,
            "attachments": listed,
            "moving": mostly({}, {"server-0": "migration queued"}),
            "on_target": mostly([], ["server-9"]),
            "attachment_version": st.just("3.54"),
            "agents": mostly(["neutron-openvswitch-agent"], []),
            "connector": mostly({"host": TARGET}, None),
            "connector_from": st.just("a file"),
        }
    )


def _instances(ids: list[str]) -> st.SearchStrategy[dict[str, Row]]:
    row = {"id": 1, "instance_type_id": 1, "user_id": "u", "project_id": "p", "host": DEAD, "node": DEAD}
    whole = dict.fromkeys(ids, row)
    moved = {server: {**row, "host": TARGET} for server in ids}
    return mostly(whole, moved, {server: {**row, "node": "elsewhere"} for server in ids}, {})


def _port(number: int) -> Row:
    return {"id": f"port-{number}", "status": "ACTIVE", "host": DEAD, "vif_type": "ovs", "vnic_type": "normal"}
