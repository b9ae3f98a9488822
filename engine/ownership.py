"""Who works on a run: a lease with an owner that everybody can see, an epoch that fences the others off.

Taking a run raises its epoch; the Writer of a process with an older epoch writes nothing more. A lease is
renewed at a quarter of its length and, being checked right before each effect, stops a process that was
paused for longer. The owner's process id, start time and boot let a resumer on the same machine see at once
that the owner is dead, without waiting for the lease to run out.
"""

import getpass
import json
import os
import pathlib
import socket
import threading
import time
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from stackmend.engine import clock, tables
from stackmend.engine.database import reading, writing
from stackmend.errors import Held, LeaseLost, StoreError

LEASE_SECONDS = 30.0
_REVOKE = (
    sa.update(tables.LANE_WORK)
    .where(tables.LANE_WORK.c.run_id == sa.bindparam("run"))
    .values(state="revoked", epoch=tables.LANE_WORK.c.epoch + 1)
)


@dataclass(frozen=True)
class Owner:
    """A process that works on a run."""

    user: str
    host: str
    pid: int
    started: str
    boot: str

    @classmethod
    def me(cls) -> "Owner":
        """This process."""
        return cls(whoami(), socket.gethostname(), os.getpid(), _start_time(os.getpid()), clock.boot())

    def __str__(self) -> str:
        return f"{self.user} on {self.host}, process {self.pid}"

    def dead(self) -> bool:
        """Whether the process is certainly gone; False also when it runs on a machine we can't see into."""
        if self.host != socket.gethostname():
            return False
        return self.boot != clock.boot() or self.started != _start_time(self.pid)


def whoami() -> str:
    """The operator's name, for approvals, leases and reports."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def owner_of(engine: sa.Engine, run_id: str) -> Owner | None:
    """The living owner of a run, or None when nobody works on it."""
    query = sa.select(tables.RUNS.c.owner, tables.RUNS.c.lease_until).where(tables.RUNS.c.id == run_id)
    with reading(engine) as connection:
        row = connection.execute(query).one()
    return living(row.owner, row.lease_until)


def living(owner: str | None, lease_until: float | None) -> Owner | None:
    """The owner stored in a run's row, unless the lease has run out or the process is dead."""
    if owner is None or (lease_until or 0) < time.time():
        return None
    known = Owner(**json.loads(owner))
    return None if known.dead() else known


def held(run_id: str, owner: Owner) -> Held:
    """The error for a run that another living process works on."""
    return Held(
        f"run {run_id} is held by {owner}: `stackmend watch {run_id}` follows it; if that process is "
        f"stuck, `stackmend resume {run_id} --take-over` takes the run away from it"
    )


class Lease:
    """This process's hold on a run; renewed by a thread of its own until ``release``."""

    def __init__(self, engine: sa.Engine, run_id: str, epoch: int, seconds: float) -> None:
        self.epoch = epoch
        self._engine = engine
        self._run_id = run_id
        self._seconds = seconds
        self._valid_until = time.monotonic() + seconds
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="stackmend-lease", daemon=True)
        self._thread.start()

    @classmethod
    def take(
        cls, engine: sa.Engine, run_id: str, take_over: bool, seconds: float = LEASE_SECONDS, shares: bool = False
    ) -> "Lease":
        """Become the owner of a run. Raises Held while another process is, unless ``take_over``.

        Unless the owner ``shares`` it, the lanes that workers have in hand are taken from them too.
        """
        with writing(engine) as connection:
            row = connection.execute(
                sa.select(tables.RUNS.c.owner, tables.RUNS.c.lease_until, tables.RUNS.c.epoch)
                .where(tables.RUNS.c.id == run_id)
                .with_for_update()
            ).one()
            owner = living(row.owner, row.lease_until)
            if owner is not None and not take_over:
                raise held(run_id, owner)
            me = json.dumps(asdict(Owner.me()))
            values = {"owner": me, "lease_until": time.time() + seconds, "epoch": row.epoch + 1}
            connection.execute(sa.update(tables.RUNS).where(tables.RUNS.c.id == run_id).values(values))
            if not shares:
                connection.execute(_REVOKE, {"run": run_id})
        return cls(engine, run_id, row.epoch + 1, seconds)

    def check(self) -> None:
        """Raise LeaseLost when the run may belong to somebody else by now."""
        if time.monotonic() >= self._valid_until:
            raise LeaseLost(
                f"this process was away for longer than its lease of {self._seconds:.0f} s on run {self._run_id}: it "
                f"calls nothing more; `stackmend resume {self._run_id}` goes on"
            )

    def release(self) -> None:
        """Give the run back, so that the next process need not wait."""
        self._released.set()
        self._thread.join()
        with writing(self._engine) as connection:
            connection.execute(self._mine().values(owner=None, lease_until=None))

    def _keep(self) -> None:
        while not self._released.wait(self._seconds / 4):
            asked = time.monotonic()
            try:
                if not self._renew():
                    self._valid_until = asked
                    return
            except StoreError:
                continue
            self._valid_until = asked + self._seconds

    def _renew(self) -> bool:
        with writing(self._engine) as connection:
            renewed = connection.execute(self._mine().values(lease_until=time.time() + self._seconds))
            return renewed.rowcount == 1

    def _mine(self) -> sa.Update:
        ours = (tables.RUNS.c.id == self._run_id) & (tables.RUNS.c.epoch == self.epoch)
        return sa.update(tables.RUNS).where(ours)


def _start_time(pid: int) -> str:
    # Field 22 of /proc/PID/stat, counted behind the command's closing bracket; a zombie counts as gone.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
