"""Opening the doors that a procedure's steps ask for: one cloud, its databases, SSH."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stackmend.clients.cloud import Cloud
from stackmend.clients.database import Database, database_url_from_conf
from stackmend.clients.fencing import Fences
from stackmend.clients.inventory import Inventory
from stackmend.clients.polls import Polls
from stackmend.clients.ssh import Ssh, SshSettings
from stackmend.errors import BadInput
from stackmend.settings import Settings, check

DATABASES = ("nova", "cinder", "neutron")


@dataclass(frozen=True)
class Opened:
    """The doors, by the names that steps ask for them, and which cloud they lead to."""

    doors: Mapping[str, Any]
    cloud: dict[str, str]


@contextlib.contextmanager
def opened(settings: Settings, cloud: Cloud, sql: Mapping[str, str]) -> Iterator[Opened]:
    """Open everything, sign in, and close it all again. ``sql``: database URLs or .conf paths by service.

    Raises BadInput for settings that don't fit, CloudError when the cloud doesn't answer.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(cloud.close)
        identity = cloud.identity
        databases = {}
        for name, where in {**settings.databases, **sql}.items():
            databases[name] = Database(name, _url(name, where), patience=settings.patience)
            stack.callback(databases[name].close)
        doors = {
            "cloud": cloud,
            "databases": databases,
            "ssh": Ssh(_ssh_settings(settings)),
            "fences": Fences(Inventory.load(settings.inventory)),
            "polls": Polls(cloud, settings.poll_interval),
        }
        yield Opened(doors, {name: str(value) for name, value in asdict(identity).items() if value})


def _url(name: str, where: str) -> str:
    if name not in DATABASES:
        raise BadInput(f"there is no database {name} that stackmend knows: name one of {', '.join(DATABASES)}")
    if "://" in where:
        return where
    return database_url_from_conf(pathlib.Path(where).expanduser())


def _ssh_settings(settings: Settings) -> SshSettings:
    check("the ssh setting", settings.ssh, SshSettings())
    return SshSettings(**settings.ssh)
