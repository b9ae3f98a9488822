"""What a listener counts, and what it says of requests that it refuses: each kind once a minute."""

import threading
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from stackmend.alarms import ledger

# Kinds of refusals.
CREDENTIALS, ROLE, OVERSIZE, MALFORMED, UNFIT = "credentials", "role", "oversize", "malformed", "unfit"
REPLAYED, SLOW, STORE, KEYSTONE = "replayed", "slow", "store", "keystone"
_QUIET_SECONDS = 60.0
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Counts:
    """One listener's numbers for Prometheus; ``say`` tells the operator a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        self._registry = registry = CollectorRegistry()
        name, what = "stackmend_alarms", "Alarms"
        self.received = Counter(f"{name}_received", f"{what} stored", ["source", "state"], registry=registry)
        self.decided = Counter(f"{name}_decided", f"{what} by what became of them", ["verdict"], registry=registry)
        self._refused = Counter(f"{name}_refused", "Requests refused", ["source", "kind"], registry=registry)
        self._open = Gauge(name, f"{what} of which something is still to come", ["verdict"], registry=registry)
        self.seconds = Histogram(
            f"{name}_request_seconds",
            "From a request's head to its answer",
            ["source"],
            registry=registry,
            buckets=_BUCKETS,
        )

    def refused(self, source: str, kind: str, why: str) -> None:
        """Count a refused request; say so, unless that kind was told of less than a minute ago."""
        self._refused.labels(source, kind).inc()
        now = time.monotonic()
        with self._lock:
            said, more = self._said.get((source, kind), (-_QUIET_SECONDS, 0))
            quiet = now - said < _QUIET_SECONDS
            self._said[source, kind] = (said, more + 1) if quiet else (now, 0)
        if not quiet:
            others = f" (and {more} like it since the last line)" if more else ""
            self._say(f"refused what {source} sent: {why}{others}")

    def text(self, counts: dict[str, int]) -> bytes:
        """Everything in Prometheus' text format, with ``counts`` of open alarms (alarms.ledger)."""
        for verdict in ledger.OPEN:
            self._open.labels(verdict).set(counts[verdict])
        return generate_latest(self._registry)
