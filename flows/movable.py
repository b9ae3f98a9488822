"""Whether a server of a dead host may be rebuilt elsewhere: decided from the capture, before anything is fenced.

Sources: the compute API reference (evacuate), the admin guide "Evacuate instances" and what nova refuses
in nova.compute.api; the owners of servers that are not their user's own (Octavia's amphorae) bring theirs
back themselves.
"""

import fnmatch
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from stackmend.engine.plan import Verdict
from stackmend.flows import wishes
from stackmend.tasks.scope import names_of

Server = Mapping[str, Any]
_STATES = frozenset(["active", "stopped", "error"])
_TRUE = frozenset(["true", "yes", "1", "on"])
# Where else the guest may be, or that it is to be nowhere.
_ELSEWHERE = frozenset(
    ["migrating", "resize_prep", "resize_migrating", "resize_migrated", "resize_finish", "resize_reverting"]
)
_GOING = frozenset(["deleting", "soft-deleting"])
# Not ours to touch, in any procedure.
LEAVING = _ELSEWHERE | _GOING
# What flavor or image asks for, and nova can rebuild only on a host that has the like.
_PICKY = (
    "pci_passthrough:alias",
    "hw:numa_nodes",
    "hw:cpu_policy",
    "resources:VGPU",
    "hw:mem_page_size",
    "hw:mem_encryption",
    "hw:machine_type",
    "os:secure_boot",
)


@dataclass(frozen=True)
class Rules:
    """What the operator said of the servers: ``consent`` and ``exclude`` hold names or ids, ``leave`` patterns."""

    shared_disks: bool
    consent: Collection[str] = field(default_factory=list)
    exclude: Collection[str] = field(default_factory=list)
    leave: Collection[str] = field(default_factory=list)
    tags: Collection[str] = field(default_factory=list)


def judge(server: Server, rules: Rules) -> Verdict:
    """The verdict for one server, and why."""
    verdict, why = _judged(server, rules)
    return Verdict(f"server:{server['id']}", server["name"], verdict, why)


def ran(server: Server) -> bool:
    """Whether it ran when its host died: it is started again only then."""
    return bool(server["vm_state"] == "active" or (server["vm_state"] == "error" and server["power_state"] == 1))


def tag_names(tags: Collection[str]) -> list[str]:
    """The metadata keys that the tags look at."""
    return [tag.partition("=")[0] for tag in tags]


def _judged(server: Server, rules: Rules) -> tuple[str, str]:
    names = names_of(server)
    if names & set(rules.exclude):
        return "nothing-to-do", "excluded: it stays where it is"
    if pattern := next((item for item in rules.leave if fnmatch.fnmatch(server["name"], item)), None):
        return "nothing-to-do", f"left to its owner: its name is like {pattern}, and its service replaces it itself"
    if rules.tags and not any(_tagged(server, tag) for tag in rules.tags):
        return "nothing-to-do", f"none of its metadata or its flavor says {', '.join(rules.tags)}"
    if server["vm_state"] not in _STATES:
        return (
            "impossible",
            f"it is {server['vm_state']}: nova evacuates only servers that are active, stopped or in error",
        )
    if server["task_state"] in _GOING:
        return "nothing-to-do", "its user is deleting it"
    if server["task_state"] in _ELSEWHERE:
        return (
            "impossible",
            f"it was {server['task_state']} when its host died, and may run on the other host already: look there, "
            "reset its state, then plan again",
        )
    asked = wishes.of(server)
    if "hw:tpm_version" in asked:
        return "impossible", "it has a virtual TPM, whose secrets died with the host: nova refuses"
    return _about_disks(server, rules, names, asked)


def _about_disks(server: Server, rules: Rules, names: set[str], asked: Mapping[str, str]) -> tuple[str, str]:
    notes = [f"needs a host with the like of {name}={asked[name]}" for name in _PICKY if name in asked]
    notes += wishes.notes(server)
    if any(disk["encrypted"] for disk in server["disks"]):
        notes.append("it has an encrypted volume: whoever evacuates must be allowed to read its key")
    if server["locked"]:
        notes.append("it is locked, which does not keep an administrator")
    if server["task_state"]:
        notes.append(f"it was {server['task_state']} when its host died")
    if server["stopped_by"] == "nova":
        notes.append("nova itself stopped it, no user did: it stays stopped, start it if it should run")
    extra = server["flavor"].get("ephemeral") or server["flavor"].get("swap")
    if server["image"] is None and not extra:
        return "ready", _told("its root disk is a volume", notes)
    if rules.shared_disks:
        return "ready", _told("its disk is on storage that all hosts share, as you said", notes)
    if names & set(rules.consent) or "all" in rules.consent:
        return "ready", _told("its local disk will be lost and made anew from its image, as you consented", notes)
    return (
        "needs-consent",
        "its disk is on the dead host: it would be made anew from its image, and what was written to it lost; say "
        f"--consent {server['name']}, or --shared-disks if instance disks are on shared storage",
    )


def _told(first: str, notes: list[str]) -> str:
    return "; ".join([first, *notes])


def _tagged(server: Server, tag: str) -> bool:
    name, _, value = tag.partition("=")
    found = {**server["flavor"]["extra_specs"], **server["labels"]}.get(name)
    if found is None:
        return False
    return found == value if value else str(found).lower() in _TRUE
