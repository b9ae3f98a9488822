"""Aodh: alarms."""

import sys
from collections.abc import Iterable

from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.services.base import Command, Config, Endpoint, Service

_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


class Aodh(Service):
    """API, evaluator, listener and notifier."""

    name = "aodh"
    word = "alarming"
    api = "aodh-api"
    databases = ("aodh",)
    endpoints = (Endpoint("alarming", "aodh"),)

    def directories(self) -> Iterable[str]:
        """Where its processes share out their work."""
        return ("aodh/coordination",)

    def configs(self) -> Iterable[Config]:
        """One file, where its API looks for it: that takes no name."""
        values = {"packages": f"{self.site.venv}/lib/{_PYTHON}/site-packages"}
        return (Config("aodh/aodh.conf", "aodh/.aodh/aodh.conf", values),)

    def sync(self) -> list[Command]:
        """Its tables."""
        return [(self.site.program("aodh-dbsync"), *self._files)]

    @property
    def _files(self) -> Command:
        return self.configured(".aodh/aodh.conf")

    def daemons(self) -> list[Daemon]:
        """All of them."""
        api = self.wsgi("aodh.wsgi.api:application", {"HOME": self.etc("")})
        return [api, *(self.worker(f"aodh-{part}", *self._files) for part in ("evaluator", "listener", "notifier"))]
