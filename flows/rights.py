"""What each procedure must be allowed: policy rules of OpenStack's services, and rows of their databases.

Rules have the names of the services' own policies (policy in code); what a release does not have is not asked for.
doc/guide/rights.md shows all of this, and tests/openstack/test_rights.py runs procedures with nothing more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Rules = Mapping[str, tuple[str, ...]]

# What a plan reads, and what it is read by again while the run waits.
READ: Rules = {
    "nova": (
        "os_compute_api:os-aggregates:index",
        "os_compute_api:os-extended-server-attributes",
        "os_compute_api:os-hypervisors:list-detail",
        "os_compute_api:os-instance-actions:events",
        "os_compute_api:os-instance-actions:list",
        "os_compute_api:os-instance-actions:show",
        "os_compute_api:os-migrations:index",
        "os_compute_api:os-migrations:index:all_projects",
        "os_compute_api:os-migrations:index:host",
        "os_compute_api:os-server-groups:index",
        "os_compute_api:os-server-groups:index:all_projects",
        "os_compute_api:os-services:list",
        "os_compute_api:servers:allow_all_filters",
        "os_compute_api:servers:detail",
        "os_compute_api:servers:detail:get_all_tenants",
        "os_compute_api:servers:show",
        "os_compute_api:servers:show:flavor-extra-specs",
    ),
    "cinder": ("volume:get", "volume:get_all", "volume_extension:services:index"),
    "neutron": ("get_agent", "get_port", "get_port:binding:host_id", "get_port:binding:vif_type"),
    "placement": (
        "placement:allocation_candidates:list",
        "placement:allocations:list",
        "placement:resource_providers:allocations:list",
        "placement:resource_providers:list",
    ),
    "glance": ("get_image",),
}
# What nova asks of cinder with the token of whoever asked nova to move, reboot or attach.
_NOVA_AT_CINDER = (
    "volume:attachment_complete",
    "volume:attachment_create",
    "volume:attachment_delete",
    "volume:attachment_update",
    # Of an encrypted volume.
    "volume_extension:volume_encryption_metadata",
)
_DETACHED = ("volume_extension:volume_actions:begin_detaching", "volume_extension:volume_actions:roll_detaching")
# What nova has attached to each server, where a procedure may have to mend or to carry it.
_MAPPED = ("os_compute_api:os-volumes-attachments:index",)
_SERVICES = ("os_compute_api:os-services:update",)
_LIVE = ("os_compute_api:os-migrate-server:migrate_live", "os_compute_api:os-migrate-server:migrate_live:host")
_COLD = (
    "os_compute_api:os-migrate-server:migrate",
    "os_compute_api:os-migrate-server:migrate:host",
    "os_compute_api:servers:confirm_resize",
    "os_compute_api:servers:revert_resize",
)
_LATE = ("os_compute_api:servers:migrations:delete", "os_compute_api:servers:migrations:force_complete")
_POWER = ("os_compute_api:servers:start", "os_compute_api:servers:stop")
_ALIVE = ("os_compute_api:os-hypervisors:uptime", "os_compute_api:os-server-diagnostics")
_ATTACH = ("os_compute_api:os-volumes-attachments:create", "os_compute_api:os-volumes-attachments:delete")
_RESET_TASK = ("os_compute_api:os-admin-actions:reset_state", "os_compute_api:servers:reboot")
_RESET_VOLUME = ("volume_extension:volume_admin_actions:reset_status",)
_BINDINGS = ("create_port_binding", "delete_port_binding", "get_port_binding")
_VOLUMES_STATUS = ("SELECT", "UPDATE (attach_status, status)")
_RESTORED = ("SELECT", "UPDATE (attach_status, deleted, deleted_at, detach_time)")


@dataclass(frozen=True)
class Rights:
    """``rules``: by service, beyond READ. ``grants``: by DATABASE.TABLE, for what it does in SQL."""

    rules: Rules
    grants: Rules = field(default_factory=dict)

    def all_rules(self, service: str) -> tuple[str, ...]:
        """Every rule of a service, READ's too, in order."""
        return tuple(sorted({*READ.get(service, ()), *self.rules.get(service, ())}))


RIGHTS: Mapping[str, Rights] = {
    "evacuate-host": Rights(
        {"nova": ("os_compute_api:os-evacuate", *_MAPPED, *_SERVICES, *_POWER), "cinder": _NOVA_AT_CINDER},
    ),
    "host-maintenance": Rights(
        {
            "nova": (*_SERVICES, *_LIVE, *_COLD, *_LATE, *_POWER, *_ALIVE),
            "cinder": _NOVA_AT_CINDER,
            # With --mute-masakari.
            "masakari": (
                "os_masakari_api:os-hosts:index",
                "os_masakari_api:os-hosts:update",
                "os_masakari_api:segments:index",
            ),
        },
    ),
    "host-return": Rights(
        {
            "nova": (*_SERVICES, *_ALIVE, "os_compute_api:servers:reboot", "os_compute_api:servers:start"),
            "cinder": _NOVA_AT_CINDER,
            "neutron": _BINDINGS,
            "placement": ("placement:allocations:update",),
        },
    ),
    "migrate-servers": Rights({"nova": (*_LIVE, *_COLD, *_LATE), "cinder": _NOVA_AT_CINDER}),
    "power-loss": Rights(
        {"nova": (*_MAPPED, *_RESET_TASK, *_ATTACH), "cinder": (*_NOVA_AT_CINDER, *_DETACHED, *_RESET_VOLUME)},
        {
            "nova.block_device_mapping": ("SELECT",),
            "nova.instances": ("SELECT", "UPDATE (task_state, vm_state)"),
            "cinder.volume_attachment": _RESTORED,
            "cinder.volumes": _VOLUMES_STATUS,
        },
    ),
    "reattach-volumes": Rights(
        {"nova": (*_MAPPED, *_ATTACH), "cinder": (*_NOVA_AT_CINDER, *_DETACHED, *_RESET_VOLUME)},
        {
            "nova.block_device_mapping": ("SELECT",),
            "nova.instances": ("SELECT",),
            "cinder.volume_attachment": _RESTORED,
            "cinder.volumes": _VOLUMES_STATUS,
        },
    ),
    "relocate-host": Rights(
        {
            "nova": (
                *_MAPPED,
                *_SERVICES,
                "os_compute_api:servers:reboot",
                # Cinder asks nova before it lets an attachment go.
                "os_compute_api:os-volumes-attachments:show",
            ),
            "cinder": _NOVA_AT_CINDER,
            "neutron": ("get_port_binding", "update_port", "update_port:binding:host_id"),
            "placement": ("placement:allocations:update",),
        },
        {
            "nova.block_device_mapping": ("SELECT", "UPDATE (attachment_id, connection_info)"),
            "nova.compute_nodes": ("SELECT",),
            "nova.instance_extra": ("SELECT",),
            "nova.instances": ("SELECT", "UPDATE (availability_zone, compute_id, host, launched_on, node)"),
            "nova.migrations": ("SELECT", "INSERT", "UPDATE (deleted, deleted_at, status)"),
            "nova.pci_devices": ("SELECT",),
            "cinder.volume_attachment": ("SELECT",),
            "cinder.volumes": ("SELECT",),
        },
    ),
}


def statements(procedure: str, account: str) -> list[str]:
    """The GRANT statements for what a procedure does in SQL; ``account`` as MariaDB names it: ``'user'@'host'``."""
    found = RIGHTS[procedure].grants
    return [f"GRANT {', '.join(found[table])} ON {table} TO {account}" for table in sorted(found)]
