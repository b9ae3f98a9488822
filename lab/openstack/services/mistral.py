"""Mistral: workflows."""

from collections.abc import Iterable

from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.services.base import STORES, Command, Config, Endpoint, Service

_PARTS = ("engine", "executor", "event-engine", "notifier")


class Mistral(Service):
    """API, engine, executor, event engine and notifier."""

    name = "mistral"
    word = "workflow"
    api = "mistral-api"
    databases = ("mistral",)
    endpoints = (Endpoint("workflowv2", "mistral", "/v2"),)

    def configs(self) -> Iterable[Config]:
        """One file, where the API of older releases looks for it: that takes no name."""
        return (Config("mistral/mistral.conf", "mistral/.mistral/mistral.conf"),)

    @property
    def _files(self) -> Command:
        return self.configured(".mistral/mistral.conf")

    def sync(self) -> list[Command]:
        """Its tables, and the actions that are installed."""
        manage = (self.site.program("mistral-db-manage"), *self._files)
        return [(*manage, "upgrade", "head"), (*manage, "populate")]

    def daemons(self) -> list[Daemon]:
        """All of them."""
        env = {"HOME": self.etc(""), "MISTRAL_CONFIG_FILE": self.etc(".mistral/mistral.conf")}
        api = self.wsgi("mistral.wsgi:application", env)
        return [api, *(self._part(part) for part in _PARTS)]

    def _part(self, part: str) -> Daemon:
        command = (self.site.program("mistral-server"), *self._files, "--server", part)
        return Daemon(f"mistral-{part}", command, after=STORES)
