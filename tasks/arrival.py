"""Evidence that a moved server is whole on its new host."""

import functools
from typing import Any

from stackmend.clients.cloud import Cloud
from stackmend.clients.fencing import Fences
from stackmend.clients.polls import Polls
from stackmend.clients.ssh import Ssh
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Evidence
from stackmend.errors import NeedsHands
from stackmend.tasks import moves
from stackmend.tasks.servers import present, state_of
from stackmend.tasks.verification import VerifyServer

Row = dict[str, Any]


class VerifyMoved(VerifyServer):
    """The server is on another host than ``source``, as it was; its volumes and ports are on that host too.

    ``may_stay``: it counts as well when it is stopped where it was. Undo: nothing to undo, it only reads.
    """

    slug = "server.verify-moved"
    title = "prove it: another host, state and power, volumes at nova and cinder, ports, all of them there"

    def __init__(
        self, server: str, source: str, wanted: dict[str, Any], seconds: float, may_stay: bool = False
    ) -> None:
        super().__init__(server, wanted, seconds)
        self.source = source
        self.may_stay = may_stay

    def confirm(  # type: ignore[override]
        self, record: Record, journal: Journal, cloud: Cloud, polls: Polls, ssh: Ssh, fences: Fences
    ) -> Evidence:
        """Everything holds before the deadline. Raises NeedsHands naming the first thing that doesn't."""
        found = state_of(present(polls.servers.look(self.target, afresh=True), self.target))
        if found["host"] == self.source:
            return self._stayed(found, cloud, polls, ssh, fences)
        wrong = (self._server_wrong_on, self._volume_wrong_on, self._port_wrong_on)
        server, volume, port = (functools.partial(one, found["host"]) for one in wrong)
        return {"moved": True, **self._proved(server, volume, port, journal, polls)}

    def _stayed(self, found: Row, cloud: Cloud, polls: Polls, ssh: Ssh, fences: Fences) -> Evidence:
        if self.may_stay and found["vm_state"] == "stopped":
            return {"moved": False, "server": found, "outcome": f"stopped on {self.source}"}
        newest = moves.of(polls.migrations.look(self.target, afresh=True), moves.LIVE | moves.COLD)[-1:]
        why = moves.why(cloud, ssh, fences, newest[0]) if newest else "nova shows no migration of it"
        raise NeedsHands(f"server {self.target} is still on {self.source}, {found['vm_state']}: {why}")

    def _server_wrong_on(self, host: str, row: Row | None) -> tuple[Evidence, str]:
        # One that waits for its cold migration to be confirmed counts as it will be then.
        waiting = row is not None and row["OS-EXT-STS:vm_state"] == "resized"
        found, why = self._server_wrong(
            {**(row or {}), "OS-EXT-STS:vm_state": self.wanted["vm_state"]} if waiting else row
        )
        if not why and found["host"] != host:
            return found, f"it was on {host} and is on {found['host']} now"
        return found, why

    def _volume_wrong_on(self, host: str, row: Row | None) -> tuple[Evidence, str]:
        found, why = self._volume_wrong(row)
        mine = [item for item in (row or {}).get("attachments", []) if item["server_id"] == self.target]
        if not why and any((item.get("host_name") or host) != host for item in mine):
            return found, f"cinder has volume {found['id']} attached on {mine[0]['host_name']}, and it runs on {host}"
        return {**found, "host": host}, why

    def _port_wrong_on(self, host: str, row: Row | None) -> tuple[Evidence, str]:
        found, why = self._port_wrong(row)
        if not why and found["host"] != host:
            return found, f"port {found['id']} is bound on {found['host']}, and the server runs on {host}"
        return found, why
