"""What holds a run store that controllers share: MariaDB and PostgreSQL, for real."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pymysql
import sqlalchemy as sa

from stackmend.lab.servers import SECRET, Server


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
