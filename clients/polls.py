"""The shared polls of a cloud: what each list is, and how little of it must be read again."""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from stackmend.clients import reads
from stackmend.clients.cloud import Cloud
from stackmend.clients.poll import Poll, Row

# A row's time of change can be this much behind the moment at which it can be read (clocks, transactions).
_OVERLAP = timedelta(seconds=10)
_OF_SERVERS = (
    *("id", "name", "status", "updated", "fault", "os-extended-volumes:volumes_attached", "OS-EXT-SRV-ATTR:host"),
    *("OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "OS-EXT-STS:power_state"),
)
_OF_VOLUMES = ("id", "name", "status", "multiattach")
_OF_ATTACHMENTS = ("server_id", "attachment_id", "host_name", "device")


def _lean_volume(row: Row) -> Row:
    attached = [reads.lean(item, _OF_ATTACHMENTS) for item in row["attachments"]]
    return {**reads.lean(row, _OF_VOLUMES), "attachments": attached}


class _Changes:
    """A list that is read whole once, and then only what changed since; and single rows, where that is not enough.

    Nova's "changed" is the server's own row: a volume that comes or goes does not move it. ``lean`` is what is kept of
    a row, that which steps read: there may be tens of thousands of them.
    """

    def __init__(
        self,
        read: Callable[[datetime | None], Any],
        read_one: Callable[[str], Row | None],
        changed_at: Callable[[Row], str | None],
        lean: Callable[[Row], Row],
    ) -> None:
        self._read = read
        self._read_one = read_one
        self._changed_at = changed_at
        self._lean = lean
        self._rows: dict[str, Row] = {}
        self._newest: datetime | None = None

    def __call__(self, _keys: Collection[str], afresh: Collection[str]) -> Mapping[str, Row]:
        # The newest time the rows themselves tell, not our clock's, and not the answer's Date: there may be none.
        since = self._newest - _OVERLAP if self._newest else None
        for row in self._read(since):
            self._keep(row)
            moment = reads.openstack_time(self._changed_at(row))
            if moment and (self._newest is None or moment > self._newest):
                self._newest = moment
        for key in afresh:
            found = self._read_one(key)
            if found is None:
                self._rows.pop(key, None)
            else:
                self._keep(found)
        return self._rows

    def _keep(self, row: Row) -> None:
        kept = self._lean(row)
        # The same row again, as a list of what changed lately has it, must not look like news.
        if self._rows.get(row["id"]) != kept:
            self._rows[row["id"]] = kept


# What nova calls a migration that nothing has changed since it was made.
_JUST_MADE = ("accepted", "queued", "pre-migrating")


class _Migrations:
    """Every server's migrations, read whole once and then only what changed since."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._known: dict[str, dict[int, Row]] = {}
        self._newest: datetime | None = None

    def __call__(self, _keys: Collection[str], afresh: Collection[str]) -> Mapping[str, Row]:
        since = self._newest - _OVERLAP if self._newest else None
        newest = self._cloud.max_microversion("compute")
        # One that was only just made has no time of change yet, by which nova would list it: it is read first, so
        # that a change in between is not missed.
        if len(afresh) > len(_JUST_MADE):
            for status in _JUST_MADE:
                self._keep(reads.migrations(self._cloud, status=status))
        else:
            for server in afresh:
                self._keep(reads.migrations(self._cloud, instance_uuid=server))
        self._keep(reads.migrations(self._cloud, changes_since=since if newest >= (2, 59) else None))
        return {
            server: {"id": server, "migrations": [rows[number] for number in sorted(rows)]}
            for server, rows in self._known.items()
        }

    def _keep(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._known.setdefault(row["instance_uuid"], {})[row["id"]] = row
            moment = reads.openstack_time(row.get("updated_at") or row["created_at"])
            if moment and (self._newest is None or moment > self._newest):
                self._newest = moment


class Polls:
    """The shared polls of one cloud.

    ``servers``, ``volumes``, ``ports`` by id; ``computes`` by host; ``migrations`` by server: one row for each
    server, whose ``migrations`` are its own, oldest first.
    """

    def __init__(self, cloud: Cloud, interval: float = 1.0) -> None:
        def volumes(since: datetime | None) -> Any:
            newest = cloud.max_microversion("block-storage")
            return reads.volumes(cloud, updated_since=since if newest >= (3, 60) else None)

        self.servers = Poll(
            "server",
            _Changes(
                lambda since: reads.servers(cloud, changes_since=since),
                functools.partial(reads.server, cloud),
                lambda row: row.get("updated"),
                lambda row: reads.lean(row, _OF_SERVERS),
            ),
            interval,
        )
        self.volumes = Poll(
            "volume",
            _Changes(
                volumes,
                functools.partial(reads.volume, cloud),
                lambda row: row.get("updated_at") or row.get("created_at"),
                _lean_volume,
            ),
            interval,
        )
        self.ports = Poll("port", lambda keys, _: {row["id"]: row for row in reads.ports_of(cloud, keys)}, interval)
        self.migrations = Poll("migration of server", _Migrations(cloud), interval)
        self.computes = Poll(
            "compute host",
            lambda _, __: {row["host"]: row for row in reads.compute_services(cloud, binary="nova-compute")},
            interval,
        )
