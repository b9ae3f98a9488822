"""Start, drive and stop a real OpenStack: the same verbs as SimulatedCloud's.

with OpenStackLab(directory) as lab:
    subprocess.run([lab.client, "server", "list"], env=lab.environment())
    lab.host("c01.example.com", "kill")
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stackmend.errors import BadInput
from stackmend.lab.openstack import base, cache, description, installing, record, releases, services, state
from stackmend.lab.openstack.cluster import Cluster
from stackmend.lab.openstack.faults import Faults
from stackmend.lab.openstack.power import Power
from stackmend.lab.openstack.reset import reset
from stackmend.lab.openstack.services.nova import COMPUTE
from stackmend.lab.openstack.site import DEFAULT_PORT_BASE

_OWN = ("etc", "data", "run", "logs", "home")


def default_directory() -> Path:
    """$STACKMEND_LAB_DIRECTORY, or a place in the user's state directory."""
    state_home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(os.environ.get("STACKMEND_LAB_DIRECTORY") or Path(state_home) / "stackmend" / "lab").expanduser()


def _quiet(_text: str) -> None:
    """Nobody listens to the progress."""


class OpenStackLab:
    """One OpenStack on loopback, in a directory of its own; one that another process brought up is met as it is.

    ``directory``: see ``default_directory``. ``say`` is told what takes long.
    """

    def __init__(self, directory: Path | None = None, say: Callable[[str], None] = _quiet) -> None:
        self.directory = (directory or default_directory()).expanduser().resolve()
        self._say = say

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(
        self,
        *,
        release: str = "",
        extras: Iterable[str] | None = None,
        port_base: int = 0,
        cached: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Self:
        """Bring it up and return when it works; what runs already goes on.

        A directory without a lab gets a clean one of ``release`` (default: the newest) on ports from ``port_base``
        (default: 25000), out of the cache ``cached`` (default: the user's). ``extras``: services beyond the core
        (default: as before, at first none); ``variables``: of their processes' environment (default: as before).
        BadInput for what is not there or differs from what the directory holds; LabError for what does not start.
        """
        asked = None if extras is None else services.extras(extras)
        with cache.locked(self.directory / "lock", self._say):
            self._up(release, asked, port_base, cached, variables)
        return self

    def _up(
        self,
        release: str,
        asked: tuple[str, ...] | None,
        port_base: int,
        cached: Path | None,
        variables: Mapping[str, str] | None,
    ) -> None:
        if not record.exists(self.directory):
            parts = cache.Cache(cached or cache.default(), self._say)
            chosen = releases.release(release or releases.NEWEST)
            installing.install(self.directory, chosen, port_base or DEFAULT_PORT_BASE, (), parts, self._say)
        self._agree(release, port_base)
        self._have(asked, variables)
        self._say("starting the services")
        self._cluster.configure()
        self._cluster.start(["mariadbd"])
        state.move_in(self._cluster.site)
        self._cluster.start(self._cluster.daemons)
        self._show_extras()

    def _agree(self, release: str, port_base: int) -> None:
        there = record.read(self.directory)
        if release not in ("", there.release) or port_base not in (0, there.port_base):
            what = f"a lab of release {there.release} on ports from {there.port_base}"
            raise BadInput(f"{self.directory} holds {what}: purge it with `lab down`, or name another directory")

    def _have(self, extras: tuple[str, ...] | None, variables: Mapping[str, str] | None) -> None:
        """Let the lab have these extras from now on; processes that are not as they shall be are stopped."""
        there = record.read(self.directory)
        wanted = replace(
            there,
            extras=there.extras if extras is None else list(extras),
            variables=there.variables if variables is None else dict(variables),
        )
        if wanted == there:
            return
        before = self._cluster.daemons
        wanted.write(self.directory)
        processes = self._cluster.processes
        del self._cluster
        processes.stop(*(name for name, daemon in before.items() if daemon != self._cluster.daemons.get(name)))

    def _show_extras(self) -> None:
        with base.client(self._cluster.site) as cloud:
            base.show(cloud.identity, self._cluster.services)

    def down(self, *, purge: bool = False) -> None:
        """Stop every process; ``purge`` removes all its files too, but not the cache."""
        self._cluster.stop()
        if purge:
            for name in _OWN:
                shutil.rmtree(self.directory / name, ignore_errors=True)
            record.remove(self.directory)
            (self.directory / "lock").unlink(missing_ok=True)
            if not any(self.directory.iterdir()):
                self.directory.rmdir()

    def reset(self) -> None:
        """Back to the clean state: nothing but the base resources, every process at work, no fault."""
        there = record.read(self.directory)
        self._say("putting the clean state back")
        reset(self._cluster, Path(there.state))
        if there.extras:
            self._show_extras()

    @cached_property
    def _cluster(self) -> Cluster:
        there = record.read(self.directory)
        return Cluster(there.site(self.directory), there.extras)

    @property
    def _faults(self) -> Faults:
        return Faults(self._cluster)

    @property
    def description(self) -> dict[str, Any]:
        """Where everything is: clouds_yaml, databases, confs, hosts, urls, logs, client, release, versions."""
        return description.describe(self._cluster)

    @property
    def cache(self) -> Path:
        """The directory that its environment and its clean state are kept in."""
        return Path(record.read(self.directory).cache)

    @property
    def client(self) -> str:
        """Path of the ``openstack`` command of the lab's own release."""
        return self._cluster.site.program("openstack")

    def environment(self, cloud: str = "lab") -> dict[str, str]:
        """This process's environment with the client's variables pointing at ``cloud`` (``lab-member``)."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return {**inherited, "OS_CLIENT_CONFIG_FILE": str(self._cluster.site.clouds_yaml), "OS_CLOUD": cloud}

    def status(self) -> list[dict[str, Any]]:
        """Every process and the L2 agent of each host: name, state, pid, memory in MiB, port."""
        return description.processes(self._cluster)

    def logs(self, name: str) -> Path:
        """The log of a process, or of the API that a service's word stands for."""
        return self._cluster.processes.log(self._process(name))

    def host(self, name: str, do: str, binary: str = COMPUTE) -> dict[str, Any]:
        """Do one thing to a host: kill or start a process, partition, join, power-off, power-on.

        kill is SIGKILL; a partitioned host hears and says nothing while its guests go on (SIGSTOP, a silent L2
        agent); power-off takes the guests along. start, join and power-on return when the host works again.
        ``binary`` may be ``neutron-openvswitch-agent``, and on the controller any process.
        """
        self._faults.host(name, do, binary)
        return {"name": name, "compute_alive": self._faults.alive(name)}

    def service(self, name: str, *, up: bool) -> dict[str, Any]:
        """Stop one API (connections are refused), the ``database`` or the ``messages``, or let it work again."""
        process = self._process(name)
        if up:
            self._cluster.start([process])
        else:
            self._cluster.processes.stop(process)
        return {"services": self._open()}

    def slow(self, service: str, seconds: float) -> None:
        """Let each call of an API wait ``seconds`` before the service sees it; 0 ends that."""
        process = self._process(service)
        if not self._cluster.daemons[process].url:
            raise BadInput(f"only an API can be slow, not {service}; one of {', '.join(self.description['urls'])}")
        self._faults.slow(process, seconds)

    def power_cut(self, hosts: Iterable[str] = ()) -> dict[str, Any]:
        """Cut the power of these hosts, or (none given) of everything: every process is killed, the stores too."""
        return {"guests": Power(self._cluster, self._faults).cut(hosts)}

    def power_on(self, *, hosts: Iterable[str] = (), without: Iterable[str] = ()) -> dict[str, Any]:
        """Give power again; what is in ``without`` (services, hosts, processes) stays away until a later call."""
        on = Power(self._cluster, self._faults).restore(hosts, without)
        return {"hosts": on, "services": self._open()}

    def _process(self, name: str) -> str:
        process = self._cluster.words.get(name, name)
        if process not in self._cluster.daemons:
            raise BadInput(f"the lab has no service {name}; it has {', '.join(self._cluster.words)}")
        return process

    def _open(self) -> list[str]:
        return [word for word, process in self._cluster.words.items() if self._cluster.works(process)]
