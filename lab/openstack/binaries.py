"""What comes from the distribution and not from PyPI: MariaDB, Erlang and RabbitMQ. Only their files are used."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from stackmend.lab.control import LabError

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


def broker(cache: Path, say: Say) -> Path:
    """The directory with rabbitmq-server: the system's own, else the package unpacked into the cache.

    It is unpacked and not installed, because its installation starts a broker. LabError when neither is possible.
    """
    unpacked = cache / "rabbitmq"
    for root in (Path("/"), unpacked):
        for found in sorted(root.glob(_BROKER)):
            return found
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise LabError("the lab needs rabbitmq-server: install it, or let apt-get and dpkg be there to fetch it")
    say("fetching rabbitmq-server")
    with tempfile.TemporaryDirectory(dir=cache) as directory:
        # apt fetches as a user of its own, who must be let in.
        Path(directory).chmod(0o755)
        _apt("download", "rabbitmq-server", directory=directory)
        (package,) = Path(directory).glob("rabbitmq-server_*.deb")
        _run(["dpkg", "-x", str(package), f"{directory}/tree"], directory)
        Path(directory, "tree").rename(unpacked)
    return next(iter(unpacked.glob(_BROKER)))


def _apt(*arguments: str, directory: str = "/") -> None:
    _run(["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", *arguments], directory)


def _run(command: list[str], directory: str) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise LabError(f"{' '.join(command[:1] + command[4:])} ended with code {done.returncode}: {' | '.join(last)}")
