"""The cloud as a whole: its rows, its services, its hosts, and the switches of the tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from stackmend.lab.simulated import identity as keystone
from stackmend.lab.simulated import schema
from stackmend.lab.simulated.faults import Faults
from stackmend.lab.simulated.hypervisors import Hypervisors
from stackmend.lab.simulated.identity import Identity
from stackmend.lab.simulated.journal import Journal
from stackmend.lab.simulated.listeners import Listeners
from stackmend.lab.simulated.nova import returning
from stackmend.lab.simulated.settings import Settings
from stackmend.lab.simulated.ssh import SshServers
from stackmend.lab.simulated.store import Database


class Cloud:
    """Everything one process simulates, kept in ``directory``; ``legacy`` is cinder before 2015."""

    def __init__(self, directory: Path, *, legacy: bool = False) -> None:
        self.directory = directory
        self.legacy = legacy
        cinder_audited = (*schema.CINDER_AUDITED, *(() if legacy else ("volume_attachment",)))
        self.nova = Database(directory / "nova.sqlite", schema.nova(legacy=legacy), schema.NOVA_AUDITED)
        self.cinder = Database(directory / "cinder.sqlite", schema.cinder(legacy=legacy), cinder_audited)
        self.neutron = Database(directory / "neutron.sqlite", schema.neutron(), schema.NEUTRON_AUDITED)
        self.lab = Database(directory / "lab.sqlite", schema.lab())
        self.databases = {"nova": self.nova, "cinder": self.cinder, "neutron": self.neutron, "lab": self.lab}
        self.settings = Settings()
        self.faults = Faults()
        self.listeners = Listeners()
        self.journal = Journal(directory / "journal.jsonl", self.databases)
        self.identity: Identity = Identity(self)
        self.hypervisors = Hypervisors(self)
        self.hypervisors.on_compute_start = lambda host: returning.on_compute_start(self, host)
        self.ssh = SshServers(self, directory / "ssh")
        self._busy = 0
        self._room = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        keystone.bootstrap(self.identity)

    def url(self, service: str) -> str:
        """The root URL of a service, without a slash at its end."""
        return f"http://127.0.0.1:{self.listeners[service].port}/{service}"

    @property
    def admission(self) -> contextlib.AbstractAsyncContextManager[None]:
        """One place among the calls that are worked on at once."""
        return self._admitted()

    @contextlib.asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        async with self._room:
            await self._room.wait_for(lambda: self._busy < self.settings.calls_at_once)
            self._busy += 1
        try:
            yield
        finally:
            async with self._room:
                self._busy -= 1
                self._room.notify()

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the calls; it is ended with the process or by ``drop_background``."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def drop_background(self) -> None:
        """Cancel whatever goes on beside the calls (before a restore)."""
        for task in list(self._tasks):
            task.cancel()

    def snapshot(self, name: str) -> None:
        """Keep every row under a name."""
        self.journal.collect()
        for database in self.databases.values():
            database.snapshot(name)

    def restore(self, name: str) -> None:
        """Put every row back; what was going on is dropped. KeyError when there is no such snapshot."""
        self.journal.collect()
        self.drop_background()
        self.hypervisors.forget()
        for database in self.databases.values():
            database.restore(name)
        self.hypervisors.beat()
        self.journal.clear()
