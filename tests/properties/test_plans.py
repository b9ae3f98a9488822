"""Every procedure's plan keeps every rule, whatever was captured."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties.examples import few
from properties.plans import PROCEDURES, made, plans
from properties.rules import RULES

from stackmend.engine.plan import digest_of


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
