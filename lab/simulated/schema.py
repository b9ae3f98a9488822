"""The tables: OpenStack's own names, columns and order, as its newest releases create them."""

_TYPES = {
    "int": "INTEGER",
    "bool": "TINYINT",
    "time": "DATETIME",
    "text": "TEXT",
    "float": "FLOAT",
    "big": "BIGINT",
    "id": "VARCHAR(36)",
    "str": "VARCHAR(255)",
}

_TRAIL = "created_at:time updated_at:time deleted_at:time"


def table(name: str, columns: str, key: str = "id") -> str:
    """A CREATE TABLE from ``column:type`` words (type ``str`` when left out) and its primary key."""
    parts = [_column(word, key) for word in columns.split()]
    if "," in key:
        parts.append(f"PRIMARY KEY ({key})")
    return f"CREATE TABLE {name} ({', '.join(parts)})"


def _column(word: str, key: str) -> str:
    name, _, kind = word.partition(":")
    kind = _TYPES[kind or "str"]
    if name == key:
        return f'"{name}" {kind} PRIMARY KEY' + (" AUTOINCREMENT" if kind == "INTEGER" else "")
    return f'"{name}" {kind}'


_INSTANCES = f"""{_TRAIL} id:int internal_id:int user_id project_id image_ref kernel_id ramdisk_id
 launch_index:int key_name key_data:text power_state:int vm_state memory_mb:int vcpus:int hostname host
 user_data:text reservation_id launched_at:time terminated_at:time display_name display_description
 availability_zone locked:bool os_type launched_on:text instance_type_id:int vm_mode uuid:id architecture
 root_device_name access_ip_v4 access_ip_v6 config_drive task_state default_ephemeral_device
 default_swap_device progress:int auto_disk_config:bool shutdown_terminate:bool disable_terminate:bool
 root_gb:int ephemeral_gb:int cell_name node deleted:int locked_by cleaned:int ephemeral_key_uuid:id
 hidden:bool compute_id:big"""

_BDM_OLD = f"""{_TRAIL} id:int device_name delete_on_termination:bool snapshot_id:id volume_id:id
 volume_size:int no_device:bool connection_info:text instance_uuid:id deleted:int source_type
 destination_type guest_format device_type disk_bus boot_index:int image_id:id"""

_BDM_NEW = """ tag attachment_id:id uuid:id volume_type encrypted:bool encryption_secret_uuid:id
 encryption_format encryption_options"""

_COMPUTE_NODES = f"""{_TRAIL} id:int service_id:int vcpus:int memory_mb:int local_gb:int vcpus_used:int
 memory_mb_used:int local_gb_used:int hypervisor_type:text hypervisor_version:int cpu_info:text
 disk_available_least:int free_ram_mb:int free_disk_gb:int current_workload:int running_vms:int
 hypervisor_hostname deleted:int host_ip supported_instances:text pci_stats:text metrics:text
 extra_resources:text stats:text numa_topology:text host ram_allocation_ratio:float
 cpu_allocation_ratio:float uuid:id disk_allocation_ratio:float mapped:int"""

_SERVICES = f"""{_TRAIL} id:int host binary topic report_count:int disabled:bool deleted:int
 disabled_reason last_seen_up:time forced_down:bool version:int uuid:id"""

_MIGRATIONS = f"""{_TRAIL} id:int source_compute dest_compute dest_host status instance_uuid:id
 old_instance_type_id:int new_instance_type_id:int source_node dest_node deleted:int migration_type
 hidden:bool memory_total:big memory_processed:big memory_remaining:big disk_total:big disk_processed:big
 disk_remaining:big uuid:id cross_cell_move:bool user_id project_id dest_compute_id:big"""

_EXTRA = """numa_topology:text pci_requests:text flavor:text vcpu_model:text migration_context:text keypairs:text
 device_metadata:text trusted_certs:text vpmems:text resources:text"""

_ACTIONS = f"""{_TRAIL} id:int action instance_uuid:id request_id user_id project_id start_time:time
 finish_time:time message deleted:int"""

_EVENTS = f"""{_TRAIL} id:int event action_id:int start_time:time finish_time:time result traceback:text
 host details:text deleted:int"""

_VOLUMES = f"""{_TRAIL} deleted:bool id:id ec2_id user_id project_id host size:int availability_zone status
 attach_status scheduled_at:time launched_at:time terminated_at:time display_name display_description
 provider_location provider_auth snapshot_id:id volume_type_id:id source_volid:id bootable:bool
 provider_geometry _name_id:id encryption_key_id:id migration_status replication_status
 replication_extended_status replication_driver_data consistencygroup_id:id provider_id multiattach:bool
 previous_status cluster_name group_id:id service_uuid:id shared_targets:bool use_quota:bool"""

_VOLUMES_LEGACY = " instance_id:int instance_uuid:id attached_host mountpoint attach_time"

_ATTACHMENT = f"""{_TRAIL} deleted:bool id:id volume_id:id attached_host instance_uuid:id mountpoint
 attach_time:time detach_time:time attach_mode attach_status connection_info:text connector:text"""

_CINDER_SERVICES = f"""{_TRAIL} deleted:bool id:int host binary topic report_count:int disabled:bool
 availability_zone disabled_reason modified_at:time rpc_current_version object_current_version
 replication_status frozen:bool active_backend_id cluster_name uuid:id"""

_PORTS = """project_id id:id name network_id:id mac_address admin_state_up:bool status device_id
 device_owner standard_attr_id:big ip_allocation"""

_AGENTS = """id:id agent_type binary topic host admin_state_up:bool created_at:time started_at:time
 heartbeat_timestamp:time description configurations load:int availability_zone resource_versions
 resources_synced:bool"""

_STANDARD = "id:int resource_type created_at:time updated_at:time description revision_number:int"


def nova(*, legacy: bool) -> list[str]:
    """Statements that create nova's cell database; ``legacy`` mappings know no attachment."""
    return [
        table("instances", _INSTANCES),
        "CREATE UNIQUE INDEX uniq_instances0uuid ON instances (uuid)",
        table("block_device_mapping", _BDM_OLD if legacy else _BDM_OLD + _BDM_NEW),
        "CREATE INDEX block_device_mapping_instance_uuid_idx ON block_device_mapping (instance_uuid)",
        "CREATE INDEX block_device_mapping_volume_id_idx ON block_device_mapping (volume_id)",
        table("compute_nodes", _COMPUTE_NODES),
        table("services", _SERVICES),
        table("migrations", _MIGRATIONS),
        table("pci_devices", f"{_TRAIL} id:int compute_node_id:int address status instance_uuid:id deleted:int"),
        table("instance_extra", f"{_TRAIL} id:int instance_uuid:id {_EXTRA} deleted:int"),
        table("instance_metadata", f"{_TRAIL} id:int key value instance_uuid:id deleted:int"),
        "CREATE INDEX instance_metadata_instance_uuid_idx ON instance_metadata (instance_uuid)",
        table("instance_system_metadata", f"{_TRAIL} id:int instance_uuid:id key value deleted:int"),
        "CREATE INDEX instance_system_metadata_uuid ON instance_system_metadata (instance_uuid)",
        table("instance_info_caches", f"{_TRAIL} id:int network_info:text instance_uuid:id deleted:int"),
        table(
            "instance_faults",
            f"{_TRAIL} id:int instance_uuid:id code:int message details:text host deleted:int",
        ),
        table("instance_actions", _ACTIONS),
        "CREATE INDEX instance_actions_instance_uuid_idx ON instance_actions (instance_uuid)",
        table("instance_actions_events", _EVENTS),
        "CREATE INDEX instance_actions_events_action_id_idx ON instance_actions_events (action_id)",
    ]


def cinder(*, legacy: bool) -> list[str]:
    """Statements that create cinder's database; ``legacy`` is before its release of 2015 (Kilo)."""
    statements = [
        table("volumes", _VOLUMES + _VOLUMES_LEGACY if legacy else _VOLUMES),
        table("services", _CINDER_SERVICES),
        table("volume_types", f"{_TRAIL} deleted:bool id:id name is_public:bool description qos_specs_id:id"),
        table("volume_admin_metadata", f"{_TRAIL} deleted:bool id:int volume_id:id key value"),
        table("volume_metadata", f"{_TRAIL} deleted:bool id:int volume_id:id key value"),
        table("volume_glance_metadata", f"{_TRAIL} deleted:bool id:int volume_id:id snapshot_id:id key value:text"),
    ]
    if not legacy:
        statements += [
            table("volume_attachment", _ATTACHMENT),
            "CREATE INDEX volume_attachment_volume_id_idx ON volume_attachment (volume_id)",
            "CREATE INDEX volume_attachment_instance_uuid_idx ON volume_attachment (instance_uuid)",
        ]
    return statements


def neutron() -> list[str]:
    """Statements that create neutron's database."""
    return [
        table("ports", _PORTS),
        "CREATE INDEX ix_ports_device_id ON ports (device_id)",
        table(
            "ipallocations",
            "port_id:id ip_address subnet_id:id network_id:id",
            "ip_address,subnet_id,network_id",
        ),
        "CREATE INDEX ix_ipallocations_port_id ON ipallocations (port_id)",
        table("standardattributes", _STANDARD),
        table(
            "ml2_port_bindings",
            "port_id:id host vif_type vnic_type profile vif_details status",
            "port_id,host",
        ),
        table("ml2_port_binding_levels", "port_id:id host level:int driver segment_id:id", "port_id,host,level"),
        table("agents", _AGENTS),
        table("networks", "project_id id:id name status admin_state_up:bool standard_attr_id:big mtu:int"),
        table("subnets", "project_id id:id name network_id:id ip_version:int cidr gateway_ip enable_dhcp:bool"),
        table("networksegments", "id:id network_id:id network_type physical_network segmentation_id:int"),
    ]


def lab() -> list[str]:
    """Statements for what is no cell's, cinder's or neutron's: keystone, placement, hypervisors."""
    return [
        table("projects", "id name"),
        table("users", "id name password"),
        table("grants", "user_id project_id role", "user_id,project_id,role"),
        table("flavors", "id:int flavorid name vcpus:int memory_mb:int root_gb:int"),
        table("images", "id:id name size:int status properties:text"),
        table("hosts", "name address boot_id powered:bool partitioned:bool", "name"),
        table("processes", "host binary running:bool masked:bool", "host,binary"),
        table("guests", "uuid:id host running:bool boot_id address ssh:bool booted_at:time", "uuid,host"),
        table("providers", "uuid:id name generation:int vcpus:int memory_mb:int disk_gb:int", "uuid"),
        table("allocations", "consumer:id provider:id vcpu:int memory_mb:int disk_gb:int", "consumer,provider"),
        table("consumers", "uuid:id generation:int project_id user_id", "uuid"),
        table("server_groups", "uuid:id name policy project_id user_id", "uuid"),
        table("aggregates", "id:int uuid:id name created_at:time"),
        table("aggregate_hosts", "aggregate:int host", "aggregate,host"),
        table("group_members", "group_uuid:id instance_uuid:id", "group_uuid,instance_uuid"),
        table("on_maintenance", "host", "host"),
    ]


NOVA_AUDITED = (
    "instances",
    "block_device_mapping",
    "services",
    "compute_nodes",
    "migrations",
    "instance_metadata",
    "instance_actions",
)
CINDER_AUDITED = ("volumes",)
NEUTRON_AUDITED = ("ports", "ml2_port_bindings", "ml2_port_binding_levels", "agents")
