"""How a server may be moved to another host while its own lives: decided from the capture, before anything moves.

Sources: the compute API reference (os-migrateLive, migrate) and what nova refuses in nova.compute.api and in
its conductor's live migration task.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackmend.engine.plan import Verdict
from stackmend.errors import BadInput
from stackmend.flows import capacity, wishes
from stackmend.tasks.scope import names_of
from stackmend.tasks.verification import expected

Server = Mapping[str, Any]
Room = dict[str, dict[str, int]]
LIVE, COLD = "live", "cold"
ON_DEADLINE = ("abort", "force-complete", "wait")
# What nova looks at when it chooses a host, or refuses: told, so that a failure is no surprise.
_PICKY = {
    "pci_passthrough:alias": "it has a PCI device: nova moves it only if that is marked live-migratable",
    "resources:VGPU": "it has a virtual GPU: its driver must be able to migrate it",
    "hw:numa_nodes": "it needs a host with its NUMA layout",
    "hw:cpu_policy": "its CPUs are pinned: they are chosen anew on the target",
    "hw:mem_page_size": "it needs a host with its page size",
    "hw:machine_type": "it needs a host whose QEMU knows its machine type",
    "os:secure_boot": "it needs a host with secure boot",
}


@dataclass(frozen=True)
class Judged:
    """A verdict, and how the server would be moved: ``live``, ``cold``, or not at all."""

    server: Server
    verdict: str
    why: str
    how: str = ""

    def as_verdict(self) -> Verdict:
        """As the plan shows it."""
        return Verdict(f"server:{self.server['id']}", self.server["name"], self.verdict, self.why)


def judge(server: Server, computes: Mapping[str, Any], to: str | None, cold: Collection[str]) -> Judged:
    """What can be done with one server; ``cold``: names or ids of those that may be switched off for it."""
    if server["host"] is None:
        return Judged(server, "nothing-to-do", "it is on no host")
    if server["host"] == to:
        return Judged(server, "nothing-to-do", f"it is on {to} already")
    if server["task_state"]:
        return Judged(server, "impossible", f"it is {server['task_state']}: let that end, then plan again")
    if (state := computes.get(server["host"], {}).get("state")) != "up":
        return Judged(server, "impossible", f"nova-compute on {server['host']} is {state}: a server leaves it by force")
    if server["vm_state"] == "stopped":
        return Judged(server, "ready", "it is stopped: cold-migrated and confirmed", COLD)
    if server["vm_state"] not in ("active", "paused"):
        return Judged(server, "impossible", f"it is {server['vm_state']}: nova moves what is active, paused or stopped")
    return _live_or_cold(server, cold)


def live_refused(server: Server) -> str:
    """Why nova refuses to live-migrate such a server; empty where it does not."""
    asked = wishes.of(server)
    if "hw:tpm_version" in asked and asked.get("hw:tpm_secret_security") != "host":
        return "it has a virtual TPM, whose secret the target can't have"
    if "hw:mem_encryption" in asked:
        return "its memory is encrypted"
    return ""


def notes_on(server: Server) -> list[str]:
    """What may keep nova from moving it, or is good to know."""
    asked = wishes.of(server)
    notes = [why for name, why in _PICKY.items() if name in asked]
    notes += wishes.notes(server)
    return [*notes, *(["it is locked, which does not keep an administrator"] if server["locked"] else [])]


def room(
    judged: Sequence[Judged], captured: Mapping[str, Any], targets: Collection[str], named: bool
) -> tuple[list[Judged], list[str]]:
    """Whether the targets can take them: those that would not fit are ``impossible``; and notes on the whole.

    To a ``named`` host they go one after another, so each counts; nova's scheduler chooses among several.
    """
    free = {host: dict(captured["free"].get(host, {})) for host in targets}
    found = []
    for one in judged:
        wanted = captured["held"].get(one.server["id"], {})
        others = [host for host in free if host != one.server["host"]]
        if one.how and not (fitting := [host for host in others if _fits(wanted, free[host])]):
            where = f"{next(iter(targets))} has no" if named else "no other host has"
            found.append(Judged(one.server, "impossible", f"{where} room for it: it holds {_listed(wanted)}"))
            continue
        if one.how and named:
            free[fitting[0]] = {name: amount - wanted.get(name, 0) for name, amount in free[fitting[0]].items()}
        found.append(one)
    moving = [one.server["id"] for one in found if one.how]
    return found, capacity.notes(moving, captured, targets, short="not enough for all of them")


def check(computes: Mapping[str, Any], to: str | None, on_deadline: str) -> None:
    """Raise BadInput for a target that is none, or a policy that there is not."""
    if on_deadline not in ON_DEADLINE:
        raise BadInput(f"on_deadline is one of {', '.join(ON_DEADLINE)}, not {on_deadline}")
    if to is None:
        return
    if to not in computes:
        raise BadInput(f"there is no compute host {to} in this cloud: `openstack compute service list` shows them")
    if (computes[to]["state"], computes[to]["status"]) != ("up", "enabled"):
        raise BadInput(
            f"no server can be moved to {to}: its nova-compute is {computes[to]['state']} and {computes[to]['status']}"
        )


def open_hosts(computes: Mapping[str, Any], without: Collection[str] = ()) -> list[str]:
    """The hosts that nova's scheduler may choose."""
    fit = ("up", "enabled")
    return [host for host, row in computes.items() if (row["state"], row["status"]) == fit and host not in without]


def move(captured: Mapping[str, Any], given: Mapping[str, Any], source: str, to: str | None) -> dict[str, Any]:
    """How a server is to be moved: what a lane's facts keep for tasks.moves.Move."""
    versions = captured["versions"]
    return {
        "source": source,
        "to": to,
        "live_version": versions["live"],
        "cold_version": versions["cold"],
        "end_version": versions.get(given["on_deadline"], ""),
        "deadline": given["deadline"],
        "on_deadline": given["on_deadline"],
    }


def unchanged(server: Server) -> dict[str, Any]:
    """What is proved of a server that was moved: all of it is as it was captured."""
    volumes = {disk["volume_id"]: disk["status"] for disk in server["disks"] if disk["at_nova"]}
    return expected(server, server["vm_state"], volumes)


def _live_or_cold(server: Server, cold: Collection[str]) -> Judged:
    notes = notes_on(server)
    if (names_of(server) | {"all"}) & set(cold) and server["vm_state"] == "active":
        return Judged(server, "ready", "; ".join(["cold-migrated: it is off for a while, as you said", *notes]), COLD)
    if why := live_refused(server):
        consent = f"nova refuses to live-migrate it: {why}; say --cold {server['name']} if it may be off for a while"
        return Judged(server, "needs-consent", consent)
    return Judged(server, "ready", "; ".join(["live-migrated", *notes]), LIVE)


def _fits(wanted: Mapping[str, int], free: Mapping[str, int]) -> bool:
    return bool(free) and all(free.get(name, 0) >= amount for name, amount in wanted.items())


def _listed(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{amount} {name}" for name, amount in sorted(amounts.items())) or "nothing"
