"""What is known before servers are moved: the computes, their room, and what nova can be asked for. It reads only."""

from collections.abc import Collection
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.tasks import cold_migration, late_migration, migration

Row = dict[str, Any]
_KEPT = ("id", "host", "zone", "state", "status", "disabled_reason", "forced_down", "updated_at")


def capture(cloud: Cloud, sources: Collection[str]) -> Row:
    """The computes by host, what each has free, and what every server on the sources holds."""
    computes = {row["host"]: row for row in reads.compute_services(cloud, binary="nova-compute")}
    free, held = reads.room(cloud, sources)
    return {
        "computes": {name: {key: row.get(key) for key in _KEPT} for name, row in computes.items()},
        "free": free,
        "held": held,
        "versions": {
            "live": cloud.pick("compute", *migration.VERSIONS),
            "cold": cloud.pick("compute", *cold_migration.VERSIONS),
            "abort": cloud.pick("compute", *late_migration.ABORT_VERSIONS),
            "force-complete": cloud.pick("compute", *late_migration.FORCE_VERSIONS),
        },
    }
