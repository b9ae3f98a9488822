"""Masakari: evacuation on notice."""

from collections.abc import Iterable
from pathlib import Path

from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.services.base import Command, Config, Endpoint, Service


class Masakari(Service):
    """API and engine; no monitor of its own."""

    name = "masakari"
    word = "instance-ha"
    api = "masakari-api"
    databases = ("masakari",)
    endpoints = (Endpoint("instance-ha", "masakari", "/v1"),)

    def directories(self) -> Iterable[str]:
        """Locks."""
        return ("masakari/lock",)

    def configs(self) -> Iterable[Config]:
        """One file."""
        return (Config("masakari/masakari.conf"),)

    def sync(self) -> list[Command]:
        """Its tables."""
        return [(self.site.program("masakari-manage"), *self.configured("masakari.conf"), "db", "sync")]

    def prepare(self) -> None:
        """Its API takes the paste file from beside its own."""
        super().prepare()
        link = Path(self.etc("api-paste.ini"))
        link.unlink(missing_ok=True)
        link.symlink_to(self.site.venv / "etc" / "masakari" / "api-paste.ini")

    def daemons(self) -> list[Daemon]:
        """All of them."""
        files = self.configured("masakari.conf")
        env = {"OS_MASAKARI_CONFIG_DIR": self.etc("")}
        return [
            self.wsgi("masakari.wsgi.api:application", env, arguments=files),
            self.worker("masakari-engine", *files),
        ]
