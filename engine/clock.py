"""Time as it is stored: UTC, ISO 8601, to the millisecond; and seconds that nobody can set."""

import functools
import pathlib
import time
from datetime import UTC, datetime


def now() -> str:
    """The current time, as every table and plan stores it."""
    return stored(datetime.now(UTC))


def stored(moment: datetime) -> str:
    """``moment`` as text that sorts by time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parsed(text: str) -> datetime:
    """The moment that ``text`` (from ``stored``) stands for."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def age(text: str) -> float:
    """Seconds since ``text``; negative when the clock has been set back."""
    return (datetime.now(UTC) - parsed(text)).total_seconds()


@functools.cache
def boot() -> str:
    """The id of this machine's boot, which no process outlives; empty where it is not to be had."""
    try:
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def uptime() -> str:
    """This moment by the seconds since this machine's boot, which go on whatever the clock is set to."""
    return f"{time.clock_gettime(time.CLOCK_BOOTTIME):.3f} s of {boot()}"


def elapsed(then: str | None) -> float | None:
    """Seconds since ``then`` (from ``uptime``); None when that was on another machine, or before its last boot."""
    seconds, _, known = (then or "").partition(" s of ")
    if not known or known != boot():
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - float(seconds)
