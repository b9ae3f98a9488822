"""Placement: who uses how much of which host."""

from collections.abc import Iterable

from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.services.base import Command, Config, Endpoint, Service


class Placement(Service):
    """One API."""

    name = "placement"
    word = "placement"
    api = "placement"
    databases = ("placement",)
    endpoints = (Endpoint("placement", "placement"),)

    def configs(self) -> Iterable[Config]:
        """One file."""
        return (Config("placement/placement.conf"),)

    def sync(self) -> list[Command]:
        """Its tables."""
        return [(self.site.program("placement-manage"), "--config-file", self.etc("placement.conf"), "db", "sync")]

    def daemons(self) -> list[Daemon]:
        """The API."""
        return [
            self.wsgi("placement.wsgi.api:application", {"OS_PLACEMENT_CONFIG_DIR": self.etc("")}, after=("mariadbd",))
        ]
