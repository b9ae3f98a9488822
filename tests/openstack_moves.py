"""How servers of a town's first host are to be found when they have moved: whole; by nova's own records, once."""

from typing import Any

from openstack_client import standing
from openstack_town import Servers

Places = dict[str, Any]
Moves = dict[str, list[tuple[str, str, str, str]]]


def moved(servers: Servers) -> list[str]:
    """The servers of the first host, which is the one that they leave."""
    return [name for name, spec in servers.items() if spec["host"] == 0]


def whole(servers: Servers, found: Places) -> Places:
    """Every server whole on the host where it is found (see ``Judge.places``), and as it was: running or stopped."""
    wanted = {}
    for name, row in found.items():
        volumes = [*servers[name]["volumes"], *([f"{name}-root"] if servers[name].get("root") else [])]
        wanted[name] = standing(row["host"], volumes, "SHUTOFF" if servers[name].get("stopped") else "ACTIVE")
    return wanted


def evacuated(servers: Servers, found: Places, source: str) -> Places:
    """Every server whole on another host; before the dead one is back they still hold what they had there."""
    assert source not in {row["host"] for row in found.values()}
    wanted, gone = whole(servers, found), moved(servers)
    return {
        name: {**row, "held_on": sorted([*row["held_on"], source])} if name in gone else row
        for name, row in wanted.items()
    }


def evacuations(servers: Servers, found: Places, source: str, status: str) -> Moves:
    """One evacuation for each server, to where it is."""
    return {name: [("evacuation", source, found[name]["host"], status)] for name in moved(servers)}


def ways_out(servers: Servers, there: Places, source: str) -> Moves:
    """One migration for each server to where it was found: live, or cold for one that was stopped."""
    return {name: [_way(servers, name, source, there[name]["host"])] for name in moved(servers)}


def ways_out_and_home(servers: Servers, there: Places, source: str) -> Moves:
    """The same, and one back."""
    return {
        name: [*ways, _way(servers, name, there[name]["host"], source)]
        for name, ways in ways_out(servers, there, source).items()
    }


def _way(servers: Servers, name: str, here: str, there: str) -> tuple[str, str, str, str]:
    kind, end = ("migration", "confirmed") if servers[name].get("stopped") else ("live-migration", "completed")
    return (kind, here, there, end)
