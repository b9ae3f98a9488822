"""What a service of the lab is: its configuration, its tables, its processes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from stackmend.lab.openstack.daemon import Daemon
from stackmend.lab.openstack.rendering import write
from stackmend.lab.openstack.site import ADDRESS, Site

_INSIDE = Path(__file__).parents[1] / "inside"
STORES = ("mariadbd", "rabbitmq")
Command = tuple[str, ...]


@dataclass(frozen=True)
class Endpoint:
    """A row of identity's catalogue: service type, service name and the path after the API's base URL."""

    kind: str
    name: str
    path: str = ""


@dataclass(frozen=True)
class Config:
    """A configuration file: a template, and its name below ``etc`` where that differs."""

    template: str
    target: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


class Service:
    """One project in the lab; its modules say what it is made of.

    ``word``: what control calls name it by (``compute``). ``api``: the process that serves its API.
    """

    name: ClassVar[str]
    word: ClassVar[str] = ""
    api: ClassVar[str] = ""
    databases: ClassVar[tuple[str, ...]] = ()
    endpoints: ClassVar[tuple[Endpoint, ...]] = ()

    def __init__(self, site: Site) -> None:
        self.site = site

    def directories(self) -> Iterable[str]:
        """What must be there below ``data`` before it starts."""
        return ()

    def configs(self) -> Iterable[Config]:
        """Its configuration files."""
        raise NotImplementedError

    def sync(self) -> list[Command]:
        """The commands that make its tables, in order."""
        return []

    def daemons(self) -> list[Daemon]:
        """Its processes."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make its directories and write its configuration."""
        for directory in self.directories():
            (self.site.data / directory).mkdir(parents=True, exist_ok=True)
        for config in self.configs():
            write(self.site, config.template, self.site.etc / (config.target or config.template), **config.values)

    def etc(self, file: str) -> str:
        """Path of one of its configuration files."""
        return str(self.site.etc / self.name / file)

    def configured(self, *files: str) -> Command:
        """The arguments that name configuration files, and keep oslo.config away from /etc."""
        named = [argument for file in files for argument in ("--config-file", self.etc(file))]
        return (*named, "--config-dir", str(self.site.etc / "empty"))

    def wsgi(
        self,
        application: str,
        env: Mapping[str, str],
        arguments: Command = (),
        options: Command = (),
        after: tuple[str, ...] = STORES,
    ) -> Daemon:
        """Its API: uwsgi on its port, around ``MODULE:NAME`` or ``MODULE:MAKER()``, which can be told to answer late.

        ``arguments``: what the application finds in sys.argv. ``options``: more of uwsgi's own. ``after``: as
        Daemon's; an API could start without the bus, but what others wait for shall have the processors first.
        """
        port = self.site.ports[self.api]
        application = self.site.release.applications.get(self.api, application)
        entry = {"LAB_APPLICATION": application, "LAB_SLOW": str(self.site.run / "slow" / self.api)}
        # One line a call, the same for all: method, path, status, milliseconds, and who asks, as it calls itself.
        access = ("--req-logger", f"file:{self.site.logs / self.api}.access.log", "--log-format", _ACCESS)
        passed = ("--pyargv", " ".join(arguments)) if arguments else ()
        differing = self.site.release.uwsgi.get(self.api, ())
        command = (self.site.program("uwsgi"), *_listen(options, port), *_UWSGI, *access, *differing, *passed)
        virtualenv = ("--virtualenv", str(self.site.venv), "--wsgi-file", str(_INSIDE / "late.py"))
        url = f"http://{ADDRESS}:{port}/"
        return Daemon(self.api, (*command, *virtualenv), {**entry, **env}, after=after, url=url, port=port)

    def worker(self, program: str, *arguments: str, after: tuple[str, ...] = STORES, **health: Any) -> Daemon:
        """One of its processes without an API, by the name of its command; ``health`` are Daemon's fields."""
        return Daemon(program, (self.site.program(program), *arguments), after=after, **health)


def _listen(options: Command, port: int) -> Command:
    return options or ("--http-socket", f"{ADDRESS}:{port}")


_UWSGI = (
    *("--master", "--lazy-apps", "--need-app", "--processes", "1", "--threads", "6", "--enable-threads"),
    *("--thunder-lock", "--die-on-term", "--worker-reload-mercy", "5", "--buffer-size", "65535"),
    *("--hook-master-start", "unix_signal:15 gracefully_kill_them_all"),
    *("--add-header", "Connection: close"),
)
_ACCESS = "%(method) %(uri) %(status) %(msecs) %(uagent)"
