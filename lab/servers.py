"""What controllers share, for real: Debian's Redis, etcd, ZooKeeper, MariaDB and PostgreSQL on loopback."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import sqlalchemy as sa

SECRET = "sekret-of-the-lab"
# Seconds for a server to answer once it is started.
_PATIENCE = 60.0


# Ten apart: some of these servers take the next one too. Each is given once: its server may not listen yet.
_PORTS = iter(range(21000 + os.getpid() % 50 * 200, 32000, 10))


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives away."""
    for port in _PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no port between 21000 and 32000 is free")


class Server:
    """One server. ``prepare`` makes its files once; ``command`` starts it; ``works`` raises until it answers."""

    # Whom it runs as; None: whoever starts it.
    user: str | None = None

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory, self.port = directory, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        self.prepare()

    def prepare(self) -> None:
        """Nothing, usually."""

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def works(self) -> None:
        """Raise OSError, or what its client raises, while it does not answer."""
        socket.create_connection(("127.0.0.1", self.port), 1).close()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.directory, user=self.user)
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.command()[0]} does not answer: see {self.directory / 'log'}")
            time.sleep(0.05)

    def stop(self, kill: bool = False) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Take away what it keeps elsewhere than in its directory: nothing, usually."""

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise OSError(f"{self.command()[0]} has ended: see {self.directory / 'log'}")
        try:
            self.works()
        except Exception:  # noqa: BLE001 - each client has errors of its own
            return False
        return True


class Redis(Server):
    """redis-server with TLS only, a password, and nothing kept on disk."""

    def prepare(self) -> None:
        """A certificate for itself."""
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
        files = ["-keyout", str(self.directory / "key.pem"), "-out", str(self.directory / "cert.pem")]
        subprocess.run([*made, *files], check=True, capture_output=True)
        (self.directory / "password").write_text(f"{SECRET}\n")

    def command(self) -> list[str]:
        """As its manual says."""
        certificate = str(self.directory / "cert.pem")
        tls = ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", certificate, "--tls-ca-cert-file"]
        tls += [certificate, "--tls-key-file", str(self.directory / "key.pem"), "--tls-auth-clients", "no"]
        return [
            "redis-server",
            "--bind",
            "127.0.0.1",
            *tls,
            "--requirepass",
            SECRET,
            "--save",
            "",
            "--appendonly",
            "no",
        ]

    @property
    def board(self) -> dict[str, object]:
        """The setting ``board``."""
        tls = {"ssl": True, "ssl_ca_certs": str(self.directory / "cert.pem")}
        secret = {"password_file": str(self.directory / "password")}
        return {"kind": "redis", "host": "127.0.0.1", "port": self.port, **tls, **secret}


class Etcd(Server):
    """etcd, one member."""

    def command(self) -> list[str]:
        """As its manual says."""
        own, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port + 1}"
        urls = ["--listen-client-urls", own, "--advertise-client-urls", own, "--listen-peer-urls", peer]
        urls += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"one={peer}"]
        return ["etcd", "--name", "one", "--data-dir", str(self.directory / "data"), *urls]

    @property
    def board(self) -> dict[str, object]:
        """The setting ``board``."""
        return {"kind": "etcd", "host": "127.0.0.1", "port": self.port, "path": "/stackmend"}


class ZooKeeper(Server):
    """ZooKeeper, alone, with quick ticks."""

    def prepare(self) -> None:
        """Its configuration."""
        data = self.directory / "data"
        lines = ["tickTime=500", f"dataDir={data}", f"clientPort={self.port}", "clientPortAddress=127.0.0.1"]
        (self.directory / "zoo.cfg").write_text("\n".join([*lines, "admin.enableServer=false", ""]))

    def command(self) -> list[str]:
        """The server's class, without the scripts around it."""
        jars = "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar"
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return ["java", "-Xmx256m", "-cp", jars, main, str(self.directory / "zoo.cfg")]

    @property
    def board(self) -> dict[str, object]:
        """The setting ``board``."""
        return {"kind": "zookeeper", "hosts": f"127.0.0.1:{self.port}", "path": "/stackmend", "timeout": 4.0}


class MariaDB(Server):
    """mariadbd, durable as it is by default."""

    def prepare(self) -> None:
        """The server's own tables."""
        self._numbers = itertools.count(1)
        made = ["mariadb-install-db", "--no-defaults", f"--datadir={self.directory / 'data'}", "--skip-test-db"]
        made += ["--auth-root-authentication-method=normal", f"--user={self._user()}"]
        subprocess.run(made, check=True, capture_output=True)

    def command(self) -> list[str]:
        """With all of it in our directory."""
        files = [f"--datadir={self.directory / 'data'}", f"--socket={self.directory / 's'}", "--pid-file=pid"]
        where = ["--bind-address=127.0.0.1", f"--port={self.port}", f"--user={self._user()}"]
        return [shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", *files, *where]

    def works(self) -> None:
        """Whoever comes over loopback has a password."""
        # PyMySQL leaves its socket open when nobody answers there.
        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(str(self.directory / "s"))
        with contextlib.closing(pymysql.connect(unix_socket=str(self.directory / "s"), user="root")) as link:
            cursor = link.cursor()
            cursor.execute(f"CREATE USER IF NOT EXISTS stackmend@'127.0.0.1' IDENTIFIED BY '{SECRET}'")
            cursor.execute("GRANT ALL ON *.* TO stackmend@'127.0.0.1'")

    def fresh(self) -> str:
        """The URL of a run store in a new database."""
        name = f"stackmend_{next(self._numbers)}"
        with contextlib.closing(pymysql.connect(unix_socket=str(self.directory / "s"), user="root")) as link:
            link.cursor().execute(f"CREATE DATABASE {name}")
        return f"mysql+pymysql://stackmend:{SECRET}@127.0.0.1:{self.port}/{name}"

    @staticmethod
    def _user() -> str:
        return "root" if os.getuid() == 0 else str(os.getuid())


class PostgreSQL(Server):
    """postgres, durable as it is by default; it refuses to be root."""

    user = "postgres" if os.getuid() == 0 else None

    def prepare(self) -> None:
        """The cluster, where its own user may go."""
        self._numbers = itertools.count(1)
        self._data = Path(tempfile.mkdtemp(prefix="stackmend-postgresql-"))
        secret = self._data / "secret"
        secret.write_text(SECRET)
        if self.user is not None:
            shutil.chown(self._data, self.user)
            shutil.chown(secret, self.user)
        made = [_postgresql("initdb"), f"--pgdata={self._data / 'data'}", "--username=stackmend", f"--pwfile={secret}"]
        made += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        subprocess.run(made, check=True, capture_output=True, user=self.user, cwd=self._data)

    def command(self) -> list[str]:
        """With all of it in that directory."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._data)]
        return [_postgresql("postgres"), "-D", str(self._data / "data"), *where]

    def works(self) -> None:
        """It takes a statement."""
        self._told("SELECT 1")

    def stop(self, kill: bool = False) -> None:
        """End it; a kill ends all of its processes."""
        # SIGQUIT is its own word for dying on the spot: what SIGKILL leaves behind would hold its memory.
        if self._process is not None and kill:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)
        super().stop(kill)

    def remove(self) -> None:
        """Its files are elsewhere than the others'."""
        shutil.rmtree(self._data)

    def fresh(self) -> str:
        """The URL of a run store in a new database."""
        name = f"stackmend_{next(self._numbers)}"
        self._told(f"CREATE DATABASE {name}")
        return self._url(name)

    def _told(self, statement: str) -> None:
        engine = sa.create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as link:
            link.exec_driver_sql(statement)

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://stackmend:{SECRET}@127.0.0.1:{self.port}/{database}"


def _postgresql(program: str) -> str:
    # Debian keeps each release's programs apart.
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return shutil.which(program) or (str(kept[-1]) if kept else program)


@contextlib.contextmanager
def running(kind: Callable[[Path], Server], directory: Path) -> Iterator[Server]:
    """One server while the block lasts."""
    server = kind(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop(kill=True)
        server.remove()
