"""MariaDB: every service's tables."""

from collections.abc import Iterable

from stackmend.lab.openstack.binaries import path_of
from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.services.base import Command, Config, Service
from stackmend.lab.openstack.site import Site


class MariaDB(Service):
    """The database server; ``databases`` are made when it starts."""

    name = "mariadbd"
    word = "database"

    def __init__(self, site: Site, databases: Iterable[str] = ()) -> None:
        super().__init__(site)
        self._databases = tuple(databases)

    def directories(self) -> Iterable[str]:
        """Its data."""
        return ("mysql",)

    def configs(self) -> Iterable[Config]:
        """The server's file, and what it runs at each start."""
        return (
            Config("mariadbd/my.cnf"),
            Config("mariadbd/users.sql", values={"databases": self._databases}),
        )

    def sync(self) -> list[Command]:
        """The server's own tables; it must not be running."""
        install = (path_of("mariadb-install-db"), f"--defaults-file={self.etc('my.cnf')}")
        return [(*install, "--auth-root-authentication-method=normal", "--skip-test-db", f"--user={self.site.user}")]

    def daemons(self) -> list[Daemon]:
        """The server."""
        command = (path_of("mariadbd"), f"--defaults-file={self.etc('my.cnf')}")
        return [Daemon("mariadbd", command, port=self.site.ports["mariadbd"])]
