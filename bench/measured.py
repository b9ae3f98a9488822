"""What one measurement tells."""

import resource
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """CPU (``cpu``, ``plan_cpu``: user and system, all threads) and wall times in seconds, peak memory in MB.

    ``plan_cpu`` is what planning and storing the run took before it began, ``first_step`` how long it took
    from opening the store to a step's first look; both are 0 where a case has no such part.
    """

    tasks: int
    cpu: float
    wall: float
    resident: float
    plan_cpu: float = 0.0
    first_step: float = 0.0

    @classmethod
    def now(cls, tasks: int, cpu: float, began: float, plan_cpu: float = 0.0, first_step: float = 0.0) -> "Measured":
        """The end of a measurement that began at ``cpu`` (process_time) and ``began`` (monotonic)."""
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return cls(tasks, time.process_time() - cpu, time.monotonic() - began, resident, plan_cpu, first_step)

    @property
    def per_task(self) -> float:
        """Milliseconds of CPU for one task, planning left out."""
        return 1000 * self.cpu / self.tasks
