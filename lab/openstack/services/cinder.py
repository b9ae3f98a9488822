"""Cinder: volumes, of a driver that keeps no bytes."""

from collections.abc import Iterable

from stackmend.lab.openstack.daemon import Daemon, Rpc
from stackmend.lab.openstack.services.base import Command, Config, Endpoint, Service
from stackmend.lab.openstack.site import CONTROLLER

VOLUME = "cinder-volume"
_BACKEND = f"{CONTROLLER}@fake1"


class Cinder(Service):
    """API, scheduler, and one volume service."""

    name = "cinder"
    word = "volume"
    api = "cinder-api"
    databases = ("cinder",)
    endpoints = (Endpoint("block-storage", "cinder", "/v3"), Endpoint("volumev3", "cinderv3", "/v3"))

    def directories(self) -> Iterable[str]:
        """Locks and the rest."""
        return ("cinder/lock", "cinder/coordination", "cinder/volumes")

    def configs(self) -> Iterable[Config]:
        """One file."""
        return (Config("cinder/cinder.conf"),)

    def sync(self) -> list[Command]:
        """Its tables."""
        return [(self.site.program("cinder-manage"), *self.configured("cinder.conf"), "db", "sync")]

    def daemons(self) -> list[Daemon]:
        """All of them."""
        files = self.configured("cinder.conf")
        scheduler = Rpc("openstack", "cinder-scheduler", CONTROLLER)
        volume = Rpc("openstack", f"{VOLUME}.{_BACKEND}", CONTROLLER)
        return [
            self.wsgi("cinder.wsgi.api:application", {}, arguments=files),
            self.worker("cinder-scheduler", *files, heartbeat=f"cinder-scheduler@{CONTROLLER}", rpc=scheduler),
            self.worker(VOLUME, *files, heartbeat=f"{VOLUME}@{_BACKEND}", rpc=volume),
        ]
