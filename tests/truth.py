"""What a recovery comes to: the rows that it is for, and nothing left behind."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from desk import Desk

# Without the ids and times that a new attachment, mapping or record gets of its own.
_TRUTH = {
    ("nova", "instances"): ("uuid", "vm_state", "task_state", "power_state", "host"),
    ("nova", "block_device_mapping"): ("instance_uuid", "volume_id", "device_name", "tag", "delete_on_termination"),
    ("nova", "migrations"): ("instance_uuid", "migration_type", "status", "source_compute", "dest_compute"),
    ("nova", "services"): ("host", "binary", "disabled", "disabled_reason", "forced_down"),
    ("cinder", "volumes"): ("id", "status", "attach_status"),
    ("cinder", "volume_attachment"): (
        "volume_id",
        "instance_uuid",
        "mountpoint",
        "attach_status",
        "attached_host",
    ),
    ("neutron", "ports"): ("id", "status", "device_id"),
    ("neutron", "ml2_port_bindings"): ("port_id", "host", "vif_type", "status"),
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def truth(desk: Desk) -> dict[str, Any]:
    """The cloud's rows that a recovery is for, the guests that really run, and the hosts' processes."""
    state = desk.cloud.state()
    return {
        **rows(desk),
        "guests": sorted((one["uuid"], one["host"]) for one in state["guests"].values() if one["running"]),
        "processes": sorted(tuple(one.values()) for one in state["processes"]),
    }


def rows(desk: Desk) -> dict[str, list[tuple[str, ...]]]:
    """The cloud's rows that a recovery is for; a time within a text is cut out."""
    found = {}
    for (database, table), columns in _TRUTH.items():
        live = [row for row in desk.table(database, table) if not row.get("deleted")]
        found[table] = sorted(tuple(_TIME.sub("", str(row[name])) for name in columns) for row in live)
    return found


def apart(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Where two truths differ: what is in one only."""
    return {
        name: {"only now": [one for one in rows if one not in wanted[name]], "only then": missing}
        for name, rows in found.items()
        if rows != wanted[name]
        for missing in [[one for one in wanted[name] if one not in rows]]
    }


def left_behind(store: Path) -> list[Any]:
    """Locks that are still held, and runs that still have an owner."""
    with closing(sqlite3.connect(store)) as link:
        locks = link.execute("SELECT target FROM stackmend_locks").fetchall()
        owners = link.execute("SELECT id FROM stackmend_runs WHERE owner IS NOT NULL").fetchall()
    return [*locks, *owners]
