"""Guests and hosts as somebody who logs in sees them."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stackmend.lab.simulated.shell import Outcome
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import parsed

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


class Guest:
    """The guest of a server, wherever it runs."""

    def __init__(self, cloud: "Cloud", server: str, name: str) -> None:
        self._cloud = cloud
        self._server = server
        self.name = name
        self.id = server

    def _row(self) -> Row | None:
        return self._cloud.lab.one("SELECT * FROM guests WHERE uuid = ? AND running", self._server)

    def answers(self) -> bool:
        """True while it runs."""
        return self._row() is not None

    def boot_id(self) -> str:
        """The kernel's id of this boot; empty when it is off."""
        row = self._row()
        return str(row["boot_id"]) if row else ""

    def uptime(self) -> float:
        """Seconds since it booted."""
        row = self._row()
        return (datetime.now(UTC) - parsed(row["booted_at"])).total_seconds() if row else 0.0

    def unit(self, verb: str, unit: str) -> Outcome:
        """A guest has no units worth naming."""
        return Outcome(4 if verb.startswith("is-") else 5, stderr=f"Unit {unit}.service could not be found.\n")

    def log(self, unit: str) -> str:
        """A guest's log is nobody's business."""
        return ""

    async def reboot(self) -> None:
        """Go away, and come back after ``boot_seconds`` with a new boot id if its host still has power."""
        row = self._row()
        if row is None:
            return
        cloud, host = self._cloud, str(row["host"])
        cloud.journal.effect("guest.reboot", self._server, host=host, how="ssh", boot_id=row["boot_id"])
        cloud.hypervisors.guests.stop(self._server, host)
        await asyncio.sleep(cloud.settings.boot_seconds)
        if cloud.hypervisors.powered(host) and cloud.hypervisors.guests.get(self._server, host) is not None:
            cloud.hypervisors.guests.boot(self._server, host, "guest reboot")


class Host:
    """A compute host or the controller."""

    def __init__(self, cloud: "Cloud", name: str) -> None:
        self._cloud = cloud
        self.name = name
        self.id = name

    def answers(self) -> bool:
        """True while it has power and is not cut off."""
        row = self._row()
        return bool(row["powered"]) and not row["partitioned"]

    def _row(self) -> Row:
        row = self._cloud.lab.one("SELECT * FROM hosts WHERE name = ?", self.name)
        if row is None:
            raise KeyError(f"there is no host {self.name}")
        return row

    def boot_id(self) -> str:
        """The kernel's id of this boot."""
        return str(self._row()["boot_id"])

    def uptime(self) -> float:
        """Seconds since it booted; a host doesn't keep count, an hour is as good as any."""
        return 3600.0

    def unit(self, verb: str, unit: str) -> Outcome:
        """What ``systemctl verb unit`` does to one of its processes."""
        process = self._cloud.lab.one("SELECT * FROM processes WHERE host = ? AND binary = ?", self.name, unit)
        if process is None and verb == "show":
            return Outcome(0, "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n")
        if process is None:
            return Outcome(4 if verb.startswith("is-") else 5, stderr=f"Unit {unit}.service could not be found.\n")
        hypervisors = self._cloud.hypervisors
        if verb == "is-active":
            active = bool(process["running"])
            return Outcome(0 if active else 3, "active\n" if active else "inactive\n")
        if verb == "show":
            return _shown(process)
        if verb == "is-enabled":
            return Outcome(1, "masked\n") if process["masked"] else Outcome(0, "enabled\n")
        if verb in ("mask", "unmask"):
            hypervisors.set_masked(self.name, unit, masked=verb == "mask")
            return Outcome()
        if verb in ("start", "restart") and process["masked"]:
            return Outcome(1, stderr=f"Failed to {verb} {unit}.service: Unit {unit}.service is masked.\n")
        if verb in ("stop", "restart") and process["running"]:
            hypervisors.stop_process(self.name, unit)
        if verb == "restart" or (verb == "start" and not process["running"]):
            hypervisors.start_process(self.name, unit)
        known = verb in ("start", "stop", "restart")
        return Outcome() if known else Outcome(1, stderr=f"Unknown command verb '{verb}'.\n")

    def log(self, unit: str) -> str:
        """What nova-compute wrote: that it began, and why servers of this host failed."""
        if self._cloud.lab.one("SELECT 1 FROM processes WHERE host = ? AND binary = ?", self.name, unit) is None:
            return "-- No entries --\n"
        faults = self._cloud.nova.all(
            "SELECT f.* FROM instance_faults f JOIN instances i ON i.uuid = f.instance_uuid"
            " WHERE i.host = ? AND i.deleted = 0 ORDER BY f.id",
            self.name,
        )
        told = [f"ERROR nova.compute.manager [instance: {row['instance_uuid']}] {row['message']}" for row in faults]
        return "".join(f"{line}\n" for line in [f"INFO nova.service [-] Starting {unit} node", *told])

    async def reboot(self) -> None:
        """Lose power for ``boot_seconds``: its guests are gone, its unmasked processes start again."""
        self._cloud.journal.effect("host.reboot", self.name, how="ssh")
        self._cloud.hypervisors.power_off(self.name)
        await asyncio.sleep(self._cloud.settings.boot_seconds)
        self._cloud.hypervisors.power_on(self.name)


def _shown(process: Row) -> Outcome:
    """``systemctl show`` of the three properties that tell whether a unit runs and may start."""
    masked = bool(process["masked"])
    shown = {
        "LoadState": "masked" if masked else "loaded",
        "ActiveState": "active" if process["running"] else "inactive",
        "UnitFileState": "masked" if masked else "enabled",
    }
    return Outcome(stdout="".join(f"{name}={value}\n" for name, value in shown.items()))
