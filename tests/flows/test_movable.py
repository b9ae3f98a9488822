"""The verdict for a server of a dead host, of every kind, said before anything is fenced."""

from typing import Any

import pytest

from stackmend.flows.movable import Rules, judge, ran

DISK = {"volume_id": "v", "encrypted": False, "at_nova": True}


def server(**changes: Any) -> dict[str, Any]:
    """A server that ran from a volume."""
    usual: dict[str, Any] = {
        "id": "7",
        "name": "web",
        "vm_state": "active",
        "power_state": 1,
        "task_state": None,
        "locked": False,
        "image": None,
        "labels": {},
        "stopped_by": None,
        "instance_name": "instance-00000007",
        "flavor": {"name": "small", "extra_specs": {}, "ephemeral": 0, "swap": 0},
        "disks": [DISK],
    }
    return {**usual, **changes}


def flavor(**changes: Any) -> dict[str, Any]:
    return {"name": "small", "extra_specs": {}, "ephemeral": 0, "swap": 0, **changes}


NONE = Rules(shared_disks=False)
CASES: dict[str, tuple[dict[str, Any], Rules, str, str]] = {
    "volume": (server(), NONE, "ready", "its root disk is a volume"),
    "stopped": (server(vm_state="stopped"), NONE, "ready", "volume"),
    "stopped by nova": (server(vm_state="stopped", stopped_by="nova"), NONE, "ready", "it stays stopped"),
    "error": (server(vm_state="error"), NONE, "ready", "volume"),
    "local": (server(image="i"), NONE, "needs-consent", "--consent web"),
    "ephemeral": (server(flavor=flavor(ephemeral=10)), NONE, "needs-consent", "what was written to it lost"),
    "swap": (server(flavor=flavor(swap=512)), NONE, "needs-consent", "--consent web"),
    "shared": (server(image="i"), Rules(shared_disks=True), "ready", "all hosts share, as you said"),
    "consent by name": (server(image="i"), Rules(False, consent=["web"]), "ready", "will be lost"),
    "consent by id": (server(image="i"), Rules(False, consent=["7"]), "ready", "will be lost"),
    "consent to all": (server(image="i"), Rules(False, consent=["all"]), "ready", "will be lost"),
    "consent to another": (server(image="i"), Rules(False, consent=["db"]), "needs-consent", "web"),
    "tpm": (server(flavor=flavor(extra_specs={"hw:tpm_version": "2.0"})), NONE, "impossible", "virtual TPM"),
    "numa": (server(flavor=flavor(extra_specs={"hw:numa_nodes": "2"})), NONE, "ready", "the like of hw:numa_nodes"),
    "tpm by image": (server(image_properties={"hw_tpm_version": "2.0"}), NONE, "impossible", "virtual TPM"),
    "numa by image": (server(image_properties={"hw_numa_nodes": "2"}), NONE, "ready", "the like of hw:numa_nodes=2"),
    "image gone": (server(image_properties=None), NONE, "ready", "what its image asks of a host is unknown"),
    "encrypted": (server(disks=[{**DISK, "encrypted": True}]), NONE, "ready", "allowed to read its key"),
    "locked": (server(locked=True), NONE, "ready", "it is locked"),
    "task": (server(task_state="powering-off"), NONE, "ready", "it was powering-off"),
    "migrating": (server(task_state="migrating"), NONE, "impossible", "may run on the other host already"),
    "deleting": (server(task_state="deleting"), NONE, "nothing-to-do", "deleting it"),
    "excluded": (server(), Rules(False, exclude=["web"]), "nothing-to-do", "excluded"),
    "left": (server(name="amphora-1"), Rules(False, leave=["amphora-*"]), "nothing-to-do", "left to its owner"),
    "untagged": (server(), Rules(False, tags=["HA"]), "nothing-to-do", "says HA"),
    "tagged": (server(labels={"HA": "True"}), Rules(False, tags=["HA"]), "ready", ""),
    "tagged otherwise": (server(labels={"HA": "no"}), Rules(False, tags=["HA"]), "nothing-to-do", "HA"),
    "tagged by flavor": (
        server(flavor=flavor(extra_specs={"evacuable": "true"})),
        Rules(False, tags=["evacuable=true"]),
        "ready",
        "",
    ),
    **{
        state: (server(vm_state=state), NONE, "impossible", f"it is {state}")
        for state in ("paused", "suspended", "rescued", "resized", "shelved", "building")
    },
}


@pytest.mark.parametrize("case", CASES)
def test_verdict(case: str) -> None:
    given, rules, verdict, fragment = CASES[case]
    found = judge(given, rules)
    assert (found.verdict, fragment in found.why) == (verdict, True), found


@pytest.mark.parametrize(
    ("vm_state", "power_state", "answer"),
    [("active", 1, True), ("active", 0, True), ("error", 1, True), ("error", 4, False), ("stopped", 1, False)],
)
def test_what_ran(vm_state: str, power_state: int, answer: bool) -> None:
    assert ran(server(vm_state=vm_state, power_state=power_state)) is answer
