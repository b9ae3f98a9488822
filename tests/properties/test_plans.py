"""Every procedure's plan keeps every rule, whatever was captured."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties.examples import few
from properties.plans import PROCEDURES, made, plans
from properties.rules import RULES, every_lane_begins_once_and_none_waits_in_a_circle

from stackmend.engine.plan import digest_of

_SERVER: dict[str, Any] = {
    "project": "shop",
    "vm_state": "active",
    "task_state": None,
    "power_state": 1,
    "locked": False,
    "image": None,
    "labels": {},
    "metadata": {},
    "stopped_by": None,
    "disks": [],
    "ports": [],
    "flavor": {"extra_specs": {}, "ephemeral": 0, "swap": 0},
}


@pytest.mark.parametrize("name", PROCEDURES)
@few(20)
@given(data=st.data())
def test_every_rule(name: str, data: st.DataObject) -> None:
    captured, plan = data.draw(plans(name))
    for rule in RULES:
        rule(captured, plan)


@pytest.mark.parametrize("name", PROCEDURES)
@few(5)
@given(data=st.data(), dice=st.randoms(use_true_random=False))
def test_the_digest_depends_on_the_content_alone(name: str, data: st.DataObject, dice: random.Random) -> None:
    captured, plan = data.draw(plans(name))
    assert digest_of(_shuffled(plan.to_json(), dice)) == plan.digest
    again = made(name, plan.parameters, _shuffled(captured, dice))
    assert digest_of({**again.to_json(), "made_at": plan.made_at}) == plan.digest


def _shuffled(data: Any, dice: random.Random) -> Any:
    """The same JSON, its names in another order."""
    if isinstance(data, dict):
        names = sorted(data)
        dice.shuffle(names)
        return {name: _shuffled(data[name], dice) for name in names}
    return [_shuffled(item, dice) for item in data] if isinstance(data, list) else data


def test_members_of_a_group_keep_the_order_in_which_they_start() -> None:
    """A group lists its members in any order: with an older nova, two of them once waited for each other."""
    after = {"stackmend:after": "server-0"}
    servers = [
        {**_SERVER, "id": "server-0", "name": "db"},
        {**_SERVER, "id": "server-1", "name": "web", "metadata": after},
    ]
    group = {"name": "g", "project": "shop", "members": ["server-1", "server-0"], "policy": "anti-affinity"}
    compute = {"id": "service", "state": "up", "status": "enabled", "disabled_reason": None}
    captured = {
        "servers": servers,
        "groups": [group],
        "evacuate_version": "2.29",
        "computes": {"c1": compute},
        "fence_agent": "",
        "power": "",
        "power_why": "",
        "free": {},
        "held": {},
        "taken_at": "then",
    }
    plan = made("evacuate-host", {"host": "c1", "fenced": "its plug is in my hand"}, captured)
    every_lane_begins_once_and_none_waits_in_a_circle(captured, plan)
