"""The two things that take long and are made once: the environment with a release's wheels, and the clean state."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from stackmend.lab.control import LabError
from stackmend.lab.openstack import base, state
from stackmend.lab.openstack.cluster import Cluster
from stackmend.lab.openstack.releases import Release
from stackmend.lab.openstack.rendering import TEMPLATES
from stackmend.lab.openstack.services import EXTRA_NAMES, EXTRAS
from stackmend.lab.openstack.services.base import Command, Service
from stackmend.lab.openstack.services.mariadb import MariaDB
from stackmend.lab.openstack.services.nova import Nova
from stackmend.lab.openstack.site import Site

Say = Callable[[str], None]
_HERE = Path(__file__).parent
_LINES = 15


def environment_key(release: Release) -> str:
    """The name of a release's environment: another one for other pins or another Python."""
    return f"venv-{release.name}-{release.digest()}"


def state_key(release: Release) -> str:
    """The name of a clean state: another one for other wheels, configuration or ways of making it."""
    ours = (_HERE / name for name in ("base.py", "build.py", "state.py"))
    made_from = [*TEMPLATES.rglob("*.j2"), *(_HERE / "services").glob("*.py"), *ours]
    digest = hashlib.sha256(release.digest().encode())
    for path in sorted(made_from):
        digest.update(path.read_bytes())
    return f"state-{release.name}-{digest.hexdigest()[:12]}"


def build_environment(place: Path, release: Release, say: Say) -> None:
    """Install the release's wheels into a new environment; its log is in the same place."""
    say(f"installing OpenStack {release.name} from PyPI (a minute or two)")
    log = place / "pip.log"
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "venv", str(place)], log)
    _run([*pip, "--constraint", str(release.pins), *release.packages], log)


def build_state(place: Path, site: Site, say: Say) -> None:
    """Make every service's tables, start the core once with its hosts and base resources, and keep its data."""
    cluster = Cluster(site, EXTRA_NAMES)
    shutil.rmtree(site.directory, ignore_errors=True)
    cluster.configure()
    try:
        _make(cluster, say)
    finally:
        cluster.stop()
    state.note_ports(site)
    site.data.rename(place / "data")
    shutil.rmtree(site.directory)


def _make(cluster: Cluster, say: Say) -> None:
    say("making the databases")
    stores = [service for service in cluster.services if isinstance(service, MariaDB)]
    _sync(stores, cluster)
    cluster.start(["mariadbd", "epmd", "rabbitmq"])
    _sync([service for service in cluster.services if service not in stores], cluster)
    say("starting the services for the first time")
    cluster.start(["keystone"])
    named = [service for service in cluster.services if service.endpoints]
    with base.client(cluster.site) as cloud:
        base.people(cloud.identity, named)
        base.catalogue(cloud.identity, named)
    core = [service for service in cluster.services if not isinstance(service, EXTRAS)]
    cluster.start([daemon.name for service in core for daemon in service.daemons()])
    _run([*Nova(cluster.site).manage(), "cell_v2", "discover_hosts"], cluster.site.logs / "sync-nova.log", cluster)
    with base.client(cluster.site) as cloud:
        base.resources(cloud)


def _sync(services: Iterable[Service], cluster: Cluster) -> None:
    for service in services:
        for command in service.sync():
            _run(command, cluster.site.logs / f"sync-{service.name}.log", cluster)


def _run(command: Iterable[str] | Command, log: Path, cluster: Cluster | None = None) -> None:
    """Run a command to its end with its output in a log; LabError with the log's last lines when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = list(command)
    with log.open("a", encoding="utf-8") as output:
        env = cluster.site.environment() if cluster else None
        done = subprocess.run(words, env=env, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        last = "\n  ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:])
        raise LabError(f"{Path(words[0]).name} ended with code {done.returncode}; the last lines of {log}:\n  {last}")
