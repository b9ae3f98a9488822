"""A host that dies, and a desk from which its servers are moved by the databases."""

from typing import Any

import pytest
from desk import Ended
from living import LivingDesk, MakeLiving, make_living  # noqa: F401

HOST, TO, EMPTY = "sim-c01", "sim-c02", "sim-c03"
MOVED = ("db", "disk", "idle", "web")


class DatabaseDesk(LivingDesk):
    """The desk, with nova's and cinder's databases in its settings."""

    def settings(self, **changes: Any) -> None:
        """As ever, and where the databases are."""
        found = self.cloud.description["databases"]
        databases = {name: found[name] for name in ("nova", "cinder")}
        super().settings(**{"databases": databases, **changes})

    def relocate(self, *words: str, **parameters: Any) -> Ended:
        """Move the host's servers to the target, approved at once."""
        return self.do("relocate-host", HOST, "--key", "move", *words, **{"to": TO, "consent": "disk", **parameters})

    def verdict(self, name: str, *words: str, **parameters: Any) -> tuple[str, str]:
        """A server's verdict in the plan, and why."""
        plan = self.planned("relocate-host", HOST, *words, **{"to": TO, **parameters})
        found = next(item for item in plan["verdicts"] if item["title"] == name)
        return found["verdict"], found["why"]

    def attached(self) -> dict[str, list[str]]:
        """On which host cinder has each server's volumes attached."""
        names = {value: name for name, value in self.servers.items()}
        found: dict[str, list[str]] = {}
        for row in self.table("cinder", "volume_attachment"):
            if not row["deleted"]:
                found.setdefault(names[row["instance_uuid"]], []).append(row["attached_host"])
        return found

    def bound(self) -> dict[str, tuple[str, str]]:
        """On which host each server's port is bound, and as what."""
        names = {port: name for name, port in self.ports.items()}
        rows = self.table("neutron", "ml2_port_bindings")
        return {names[row["port_id"]]: (row["host"], row["vif_type"]) for row in rows if row["status"] == "ACTIVE"}

    def held(self) -> dict[str, list[str]]:
        """The hosts on which placement counts each server."""
        providers = {row["uuid"]: row["host"] for row in self.table("nova", "compute_nodes")}
        found = {
            name: self.ask("GET", f"/allocations/{server}", service="placement", at="1.28")["allocations"]
            for name, server in self.servers.items()
        }
        return {name: sorted(providers[provider] for provider in held) for name, held in found.items()}

    def mapped(self) -> list[dict[str, Any]]:
        """Nova's mappings of volumes, whole."""
        rows = self.table("nova", "block_device_mapping")
        return [row for row in rows if row["volume_id"] and not row["deleted"]]

    def moved(self, mapping: dict[str, Any]) -> bool:
        """Whether a mapping is of a server that is moved."""
        return mapping["instance_uuid"] != self.servers["peer"]

    def records(self) -> dict[str, str]:
        """The migration records that count, by server."""
        names = {value: name for name, value in self.servers.items()}
        rows = [row for row in self.table("nova", "migrations") if not row["deleted"]]
        assert {row["migration_type"] for row in rows} <= {"evacuation"}
        return {names[row["instance_uuid"]]: row["status"] for row in rows}


def dying_desk(make: MakeLiving, **seed: Any) -> DatabaseDesk:
    """A desk in front of a cloud whose first host has just lost its power."""
    desk = make(DatabaseDesk, **seed)
    assert isinstance(desk, DatabaseDesk)
    desk.dies(HOST)
    desk.cloud.clear_journal()
    return desk


@pytest.fixture
def dying(make_living: MakeLiving) -> DatabaseDesk:  # noqa: F811
    """Four servers on the dead host, one on the target, none on a third host."""
    return dying_desk(make_living)
