"""Whether the targets have room for what leaves a host, as placement counts it: told in the plan."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any


def notes(servers: Iterable[str], captured: Mapping[str, Any], targets: Collection[str], short: str) -> list[str]:
    """For each resource class what the servers (ids) hold now and what is free on the targets.

    ``short`` is said of one that is not enough for all of them.
    """
    wanted = [captured["held"].get(server, {}) for server in servers]
    found = []
    for name in sorted({name for held in wanted for name in held}):
        needed = sum(held.get(name, 0) for held in wanted)
        free = sum(captured["free"].get(host, {}).get(name, 0) for host in targets)
        enough = "" if free >= needed else f": {short}"
        found.append(f"room: {needed} {name} needed, {free} free on {len(targets)} hosts{enough}")
    return found
