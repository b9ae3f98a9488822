"""Claims on jobs, kept alive: each is extended at a quarter of its time, and believed only until it would expire."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from taskflow.exceptions import UnclaimableJob
from taskflow.jobs.base import Job, JobBoard

from stackmend.engine.board import BoardAway, asking
from stackmend.errors import LeaseLost

LOG = logging.getLogger(__name__)


@dataclass
class Claim:
    """One job that is ours until ``valid_until`` (monotonic seconds), which moves as long as the board says so."""

    job: Job
    valid_until: float
    lost: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise LeaseLost when the job may be another worker's by now."""
        if self.lost.is_set() or time.monotonic() >= self.valid_until:
            raise LeaseLost(
                f"this worker's claim on {self.job.name} ran out, or the board did not answer in time: it calls "
                "nothing more for it, and another worker goes on"
            )


class Claims:
    """All jobs that a worker has in hand, each for ``seconds`` at a time, renewed by a thread of its own."""

    def __init__(self, board: JobBoard, worker: str, seconds: float) -> None:
        self._board, self._worker, self._seconds = board, worker, seconds
        self._held: dict[str, Claim] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._claim: Callable[..., None] = board.claim
        self._thread = threading.Thread(target=self._keep, name="stackmend-claims", daemon=True)
        self._thread.start()

    def claim(self, job: Job, who: str) -> None:
        """Claim a job, as a board does. Raises what the board raises."""
        with self._lock:
            if job.uuid in self._held:
                raise UnclaimableJob(f"{job.name} is in hand here")
        asked = time.monotonic()
        if hasattr(job, "extend_expiry"):
            self._claim(job, who, expiry=int(self._seconds))
        else:
            # ZooKeeper's claims last as long as its session does.
            self._claim(job, who)
        with self._lock:
            self._held[job.uuid] = Claim(job, asked + self._seconds)

    def of(self, job: Job) -> Claim:
        """The claim on a job that is ours."""
        with self._lock:
            return self._held[job.uuid]

    def drop(self, job: Job) -> None:
        """Keep it alive no longer."""
        with self._lock:
            self._held.pop(job.uuid, None)

    def close(self) -> None:
        """End the thread; what is still held expires."""
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._over.wait(self._seconds / 4):
            with self._lock:
                held = list(self._held.values())
            for claim in held:
                self._extend(claim)

    def _extend(self, claim: Claim) -> None:
        asked = time.monotonic()
        if asked >= claim.valid_until:
            # The board may have given it to another: extending it would extend the other's claim.
            return
        try:
            with asking():
                ours = self._board.find_owner(claim.job) == self._worker
                if ours and hasattr(claim.job, "extend_expiry"):
                    ours = bool(claim.job.extend_expiry(int(self._seconds)))
        except BoardAway as error:
            if claim.job.uuid not in self._held:
                # It ended, and was taken off the board, while we asked.
                return
            LOG.warning("the claim on %s could not be extended: %s", claim.job.name, error)
            return
        if ours:
            claim.valid_until = asked + self._seconds
        else:
            claim.lost.set()
