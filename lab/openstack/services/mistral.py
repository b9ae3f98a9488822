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
        """One file."""
        return (Config("mistral/mistral.conf"),)

    def sync(self) -> list[Command]:
        """Its tables, and the actions that are installed."""
        manage = (self.site.program("mistral-db-manage"), *self.configured("mistral.conf"))
        return [(*manage, "upgrade", "head"), (*manage, "populate")]

    def daemons(self) -> list[Daemon]:
        """All of them."""
        files = self.configured("mistral.conf")
        env = {"MISTRAL_CONFIG_FILE": self.etc("mistral.conf")}
        api = self.wsgi("mistral.wsgi:application", env, arguments=files)
        return [api, *(self._part(part) for part in _PARTS)]

    def _part(self, part: str) -> Daemon:
        command = (self.site.program("mistral-server"), *self.configured("mistral.conf"), "--server", part)
        return Daemon(f"mistral-{part}", command, after=STORES)
