"""Glance: images, in files."""

from collections.abc import Iterable

from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.services.base import Command, Config, Endpoint, Service
from stackmend.lab.openstack.site import ADDRESS


class Glance(Service):
    """One API."""

    name = "glance"
    word = "image"
    api = "glance-api"
    databases = ("glance",)
    endpoints = (Endpoint("image", "glance"),)

    def directories(self) -> Iterable[str]:
        """Images and their way stations."""
        return ("glance/images", "glance/staging", "glance/tasks", "glance/lock")

    def configs(self) -> Iterable[Config]:
        """One file."""
        return (Config("glance/glance-api.conf"),)

    def sync(self) -> list[Command]:
        """Its tables."""
        return [(self.site.program("glance-manage"), *self.configured("glance-api.conf"), "db_sync")]

    def daemons(self) -> list[Daemon]:
        """The API, behind uwsgi's own HTTP server: that one takes uploads whose length is not told beforehand."""
        ports = self.site.ports
        front = ("--http", f"{ADDRESS}:{ports['glance-api']}", "--socket", f"{ADDRESS}:{ports['glance-workers']}")
        chunks = ("--http-chunked-input", "--http-auto-chunked", "--http-raw-body", "--so-keepalive")
        env = {"OS_GLANCE_CONFIG_DIR": self.etc("")}
        return [self.wsgi("glance.wsgi.api:application", env, options=(*front, *chunks))]
