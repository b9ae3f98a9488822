"""Keystone: identity."""

from collections.abc import Iterable

from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.services.base import Command, Config, Service
from stackmend.lab.openstack.site import PASSWORD, REGION


class Keystone(Service):
    """The identity API; its own catalogue entry comes from its bootstrap."""

    name = "keystone"
    word = "identity"
    api = "keystone"
    databases = ("keystone",)

    def directories(self) -> Iterable[str]:
        """Its keys; they belong to the state: tokens and secrets are read with them."""
        return ("keystone/fernet", "keystone/credential")

    def configs(self) -> Iterable[Config]:
        """One file."""
        return (Config("keystone/keystone.conf"),)

    def sync(self) -> list[Command]:
        """Tables, keys, and the first user with the identity endpoints."""
        manage = (self.site.program("keystone-manage"), *self.configured("keystone.conf"))
        keys = ("--keystone-user", self.site.user, "--keystone-group", self.site.group)
        url = self.site.auth_url
        urls = ("--bootstrap-admin-url", url, "--bootstrap-internal-url", url, "--bootstrap-public-url", url)
        return [
            (*manage, "db_sync"),
            (*manage, "fernet_setup", *keys),
            (*manage, "credential_setup", *keys),
            (*manage, "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION, *urls),
        ]

    def daemons(self) -> list[Daemon]:
        """The API."""
        return [
            self.wsgi("keystone.wsgi.api:application", {"OS_KEYSTONE_CONFIG_DIR": self.etc("")}, after=("mariadbd",))
        ]
