"""The guests that really run, whatever the databases say."""

import uuid
from typing import TYPE_CHECKING

from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.times import stamp
from stackmend.lab.simulated.web import Origin

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


class Guests:
    """One row for each domain a hypervisor defines; a server moved without fencing can have two."""

    def __init__(self, cloud: "Cloud") -> None:
        self._cloud = cloud
        self._lab = cloud.lab

    def define(self, server: str, host: str, *, running: bool, ssh: bool, address: str | None) -> None:
        """Define a guest on a host."""
        self._lab.write(
            "INSERT OR REPLACE INTO guests (uuid, host, running, boot_id, address, ssh, booted_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            server,
            host,
            running,
            str(uuid.uuid4()) if running else None,
            address,
            ssh,
            stamp() if running else None,
        )

    def get(self, server: str, host: str) -> Row | None:
        """The guest of that server on that host."""
        return self._lab.one("SELECT * FROM guests WHERE uuid = ? AND host = ?", server, host)

    def running(self, server: str, host: str) -> bool:
        """True while it runs there."""
        guest = self.get(server, host)
        return guest is not None and bool(guest["running"])

    def boot(self, server: str, host: str, kind: str, origin: Origin | None = None) -> None:
        """Start it (anew), defining it when the host does not know it; a new boot id each time."""
        if self.get(server, host) is None:
            self.copy_to(server, host)
        self._lab.update(
            "guests",
            {"uuid": server, "host": host},
            running=True,
            boot_id=str(uuid.uuid4()),
            booted_at=stamp(),
        )
        ids = origin.ids if origin else {}
        self._cloud.journal.effect("guest.boot", server, host=host, how=kind, **ids)

    def copy_to(self, server: str, host: str) -> None:
        """Define it on another host as well, powered off."""
        other = self._lab.one("SELECT address, ssh FROM guests WHERE uuid = ?", server)
        address, ssh = (other["address"], bool(other["ssh"])) if other else (None, False)
        self.define(server, host, running=False, ssh=ssh, address=address)

    def stop(self, server: str, host: str) -> None:
        """Power it off; nothing when it is off."""
        self._lab.update("guests", {"uuid": server, "host": host}, running=False)

    def move(self, server: str, source: str, target: str) -> None:
        """It goes on running on another host, with the boot id it had."""
        self.remove(server, target)
        self._lab.update("guests", {"uuid": server, "host": source}, host=target)

    def remove(self, server: str, host: str) -> None:
        """Undefine it."""
        self._lab.write("DELETE FROM guests WHERE uuid = ? AND host = ?", server, host)

    def lose_all(self, host: str | None = None) -> list[str]:
        """Power cut: every guest (of one host) stops at once; the ids of those that ran."""
        rows = self._lab.all("SELECT uuid FROM guests WHERE running AND host LIKE ?", host or "%")
        self._lab.write("UPDATE guests SET running = 0 WHERE host LIKE ?", host or "%")
        return [row["uuid"] for row in rows]
