"""What comes from the distribution and not from PyPI: MariaDB, Erlang and RabbitMQ. Only their files are used."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from stackmend.lab.control import LabError
from stackmend.lab.openstack.cache import Cache

Say = Callable[[str], None]
PACKAGES = {
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",
    "erl": "erlang-base",
    "epmd": "erlang-base",
    "qemu-img": "qemu-utils",
}
# RabbitMQ needs more of Erlang than erl itself.
_WITH_THEM = ("mariadb-client-core", "erlang-nox")
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_BROKER = "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"


def path_of(program: str, path: str = _PATH) -> str:
    """Where a program is; LabError that names its package when it is missing."""
    found = shutil.which(program, path=path)
    if not found:
        raise LabError(f"the lab needs {program}: apt-get install {PACKAGES.get(program, program)}")
    return found


def provide(say: Say, path: str = _PATH) -> None:
    """Install what is missing, where that is possible; LabError with one sentence on what to install."""
    missing = [program for program in PACKAGES if not shutil.which(program, path=path)]
    if not missing:
        return
    packages = sorted({*(PACKAGES[program] for program in missing), *_WITH_THEM})
    if os.geteuid() != 0 or not shutil.which("apt-get", path=path):
        raise LabError(f"the lab needs {', '.join(missing)}: install the packages {' '.join(packages)} (as root)")
    say(f"installing {' '.join(packages)}")
    _apt("update")
    _apt("install", "-y", "--no-install-recommends", *packages)


def broker(parts: Cache, say: Say) -> Path:
    """The directory with rabbitmq-server: the system's own, else the package's, unpacked into the cache.

    It is unpacked and not installed, because its installation starts a broker. LabError when neither is possible.
    """
    return _broker_in(Path("/")) or _unpacked(parts.part("rabbitmq", lambda place: _unpack(place, say)))


def _broker_in(root: Path) -> Path | None:
    return next(iter(sorted(root.glob(_BROKER))), None)


def _unpacked(place: Path) -> Path:
    found = _broker_in(place)
    if found is None:
        raise LabError(f"the package rabbitmq-server has no {_BROKER}: install RabbitMQ some other way")
    return found


def _unpack(place: Path, say: Say) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise LabError("the lab needs rabbitmq-server: install it, or let apt-get and dpkg be there to fetch it")
    say("fetching rabbitmq-server")
    _apt("download", "rabbitmq-server", directory=str(place))
    (package,) = place.glob("rabbitmq-server_*.deb")
    _run(["dpkg", "-x", str(package), str(place)], str(place))


def _apt(*arguments: str, directory: str = "/") -> None:
    _run(["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", *arguments], directory)


def _run(command: list[str], directory: str) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise LabError(f"{' '.join(command)} ended with code {done.returncode}: {' | '.join(last)}")
