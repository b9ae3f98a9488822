"""Times as the databases and the APIs write them; always UTC, whole seconds, as MySQL keeps them."""

from datetime import UTC, datetime


def stamp(moment: datetime | None = None) -> str:
    """``moment`` (now when None) as a database row holds it: ``2026-11-21 06:46:20.000000``."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M:%S.000000")


def zulu(value: str | None) -> str | None:
    """A row's time as nova's servers and neutron show it: ``2026-11-21T06:46:20Z``."""
    return f"{value[:19].replace(' ', 'T')}Z" if value else None


def iso(value: str | None) -> str | None:
    """A row's time as cinder and nova's actions show it: ``2026-11-21T06:46:20.000000``."""
    return f"{value[:19].replace(' ', 'T')}.000000" if value else None


def from_query(value: str) -> str:
    """A time given in a query, with or without zone, as a row holds it.

    Raises ValueError when it is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(value.replace(" ", "+") if "T" in value else value)
    return stamp(moment.astimezone(UTC) if moment.tzinfo else moment)


def parsed(value: str) -> datetime:
    """A row's time as an aware datetime."""
    return datetime.fromisoformat(value[:26].replace("T", " ")).replace(tzinfo=UTC)
