"""Time as it is stored: UTC, ISO 8601, to the millisecond."""

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
