"""A compute host whose systemd, sshd and docker are real: Debian in systemd-nspawn. Its nova-compute is a stand-in."""

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hosts.control_group import ControlGroup
from waiting import until

UNIT, CONTAINER = "nova-compute", "nova_compute"
NEEDED = ("systemd-nspawn", "mmdebstrap", "nsenter", "setpriv", "ssh-keygen")
_UNIT_FILE = f"/lib/systemd/system/{UNIT}.service"
_FILES = Path(__file__).with_name("debian")
_SUITE = "bookworm"
_PACKAGES = "systemd,systemd-sysv,dbus,openssh-server,procps,sudo,docker.io"
_LEFT_OUT = ("doc", "man", "locale")
# Each is started by who needs it.
_DOCKER_IS_OFF = 'chroot "$1" systemctl disable docker.service docker.socket containerd.service'


def missing() -> str:
    """What is to be there before a machine can be booted; empty when all is."""
    if os.geteuid() != 0:
        return "systemd-nspawn needs root: run the tests as root"
    absent = [name for name in NEEDED if shutil.which(name) is None]
    packages = "systemd-container mmdebstrap openssh-client"
    return f"{', '.join(absent)} not found: apt-get install --no-install-recommends {packages}" if absent else ""


def debian(packages: str = _PACKAGES, hook: str = _DOCKER_IS_OFF) -> Path:
    """The root file system that machines begin with; made once, as long as its recipe is the same.

    ``packages`` are parted by commas; ``hook`` is a command of the shell whose $1 is the root.
    """
    recipe = _recipe(packages, hook)
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stackmend" / "hosts"
    cache.mkdir(parents=True, exist_ok=True)
    made, building = cache / f"{_SUITE}-{digest}", cache / f"{_SUITE}-{digest}.building"
    with (cache / f"{made.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(building, ignore_errors=True)
            ended = subprocess.run([*recipe, str(building)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
            assert ended.returncode == 0, ended.stderr
            building.rename(made)
    return made


def _recipe(packages: str, hook: str) -> list[str]:
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=essential",
        f"--include={packages}",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT),
        f"--customize-hook={hook}",
        _SUITE,
    ]


class Machine:
    """One machine on loopback; what it writes is gone when it ends. Files of it are in ``directory``."""

    address = "127.0.0.1"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = f"stackmend-{uuid.uuid4().hex[:8]}"
        self.port = _free_port()
        self._group = ControlGroup(self.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._etc_ssh()

    @property
    def ssh(self) -> dict[str, Any]:
        """The setting ``ssh`` that reaches it as root; its host key is checked."""
        keys = {"key_files": [str(self.directory / "key")], "known_hosts": [str(self.directory / "known_hosts")]}
        return {"user": "root", "port": self.port, "agent": False, "patience": 2, **keys}

    def boot(self) -> None:
        """Start it; back when its systemd has started everything."""
        self.switch_on()
        self.await_boot()

    def await_boot(self) -> None:
        """Wait until it has."""
        until(self._up, f"{self.name} has booted; {self.directory / 'console'} tells why not", 60)

    def switch_on(self) -> None:
        """Start it, and don't wait."""
        with (self.directory / "console").open("ab") as console:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                preexec_fn=self._group.enter,
            )

    def end(self) -> None:
        """Take its power away."""
        if self._process is None:
            return
        if leader := self._leader:
            os.kill(leader, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait(20)
        self._group.remove()
        self._process = None

    def sh(self, command: str) -> str:
        """Somebody types a command there, as root; what it wrote. Fails when the command does."""
        ended = self.typed(command)
        assert ended.returncode == 0, (command, ended)
        return ended.stdout

    def typed(self, command: str) -> "subprocess.CompletedProcess[str]":
        """The same, however it ends."""
        inside = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return subprocess.run(
            [*inside, "sh", "-c", command],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def write(self, path: str, text: str) -> None:
        """Put a file there."""
        folder = shlex.quote(str(Path(path).parent))
        self.sh(f"mkdir -p {folder} && printf %s {shlex.quote(text)} > {shlex.quote(path)}")

    def state(self, unit: str = UNIT) -> tuple[str, str]:
        """What ``systemctl is-active`` and ``is-enabled`` say."""
        active, enabled = (self.typed(f"systemctl is-{what} {unit}").stdout.strip() for what in ("active", "enabled"))
        return active, enabled

    def service(self, *settings: str) -> None:
        """The unit of nova-compute as a package brings it, and more settings."""
        text = (_FILES / "nova-compute.service").read_text()
        self.write(_UNIT_FILE, text.replace("\n[Install]", "\n".join([*settings, "", "[Install]"])))
        self.sh("systemctl daemon-reload")

    def contain(self) -> None:
        """Start docker, and nova-compute in a container of it; its image is a shell and the stand-in."""
        libraries = "$(ldd /bin/bash /bin/sleep | grep --only-matching '/lib[^ :]*' | sort --unique)"
        files = f"/bin/bash /bin/sleep /usr/bin/nova-compute {libraries}"
        image = f"tar --create --dereference --absolute-names {files} | docker import - {CONTAINER}"
        create = f"docker run --detach --name {CONTAINER} --network host --volume /etc/nova:/etc/nova:ro"
        self.sh(f"systemctl start docker && {image}")
        self.sh(f"{create} --restart unless-stopped {CONTAINER} /usr/bin/nova-compute")

    def container(self) -> str:
        """Whether it runs, and its restart policy."""
        shown = "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}"
        return self.sh(f"docker inspect --format '{shown}' {CONTAINER}").strip()

    def _up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "console").read_text()
        return bool(self._leader) and self.typed("systemctl is-system-running").stdout.strip() == "running"

    @property
    def _leader(self) -> int:
        """The machine's pid 1 as this one's processes are counted; 0 where there is none."""
        assert self._process is not None
        try:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        except FileNotFoundError:
            return 0
        return int(children[0]) if children else 0

    def _command(self) -> list[str]:
        return [
            # It goes down in order when this process is killed.
            *("setpriv", "--pdeathsig", "TERM"),
            *("systemd-nspawn", "--quiet", "--boot", f"--machine={self.name}"),
            *("--register=no", "--keep-unit", "--link-journal=no", "--console=pipe"),
            f"--bind-ro={self.directory / 'ssh'}:/etc/ssh",
            f"--bind-ro={_FILES / 'nova-compute'}:/usr/bin/nova-compute",
            *self._own(),
        ]

    def _own(self) -> list[str]:
        """What a machine of this kind is made of."""
        return [
            *(f"--directory={debian()}", "--volatile=overlay"),
            # What docker needs.
            *("--capability=all", "--system-call-filter=add_key keyctl bpf"),
            f"--bind-ro={_FILES / 'daemon.json'}:/etc/docker/daemon.json",
        ]

    def _etc_ssh(self) -> None:
        there = self.directory / "ssh"
        there.mkdir()
        for key in (self.directory / "key", there / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        shutil.copy(self.directory / "key.pub", there / "authorized_keys")
        config = (_FILES / "sshd_config").read_text()
        (there / "sshd_config").write_text(f"Port {self.port}\nListenAddress {self.address}\n{config}")
        shown = (there / "host_key.pub").read_text()
        (self.directory / "known_hosts").write_text(f"[{self.address}]:{self.port} {shown}")


@contextmanager
def booted(directory: Path) -> Iterator[Machine]:
    """A machine that runs."""
    machine = Machine(directory)
    try:
        machine.boot()
        yield machine
    finally:
        machine.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
