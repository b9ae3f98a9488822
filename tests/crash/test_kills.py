"""Each procedure, killed at every instant and resumed: each effect once, and the end as if it had not been killed.

`make test` kills around every fifth kind of effect and at a few of the other instants; `make matrix` at all.
"""

import random

import pytest
from matrix import page
from matrix.scenarios import SCENARIOS
from matrix.stage import MakeStage, numbered

# So many deaths on the way.
_TIMES = (2, 3, 5, 8, 13) if page.WHOLE else (5,)
_FORWARD = [name for name, scenario in SCENARIOS.items() if not scenario.reverted]


@pytest.mark.parametrize("hand", page.HANDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_and_resumed(make_stage: MakeStage, record: page.Record, name: str, hand: int) -> None:
    stage = make_stage(name)
    dealt = stage.points(page.EVERY)[hand :: len(page.HANDS)]
    killed = sum(stage.survives(death).deaths for death in dealt)
    # A wait or a write that came once need not come again: there are fewer deaths than instants, but not many.
    assert killed > 0.8 * len(dealt) > 3
    whole = {f"{kind}s": number for kind, number in stage.whole.kinds().items()} if hand == 0 else {}
    record("killed once", name, **whole, killed=killed)


@pytest.mark.parametrize("name", _FORWARD if page.WHOLE else _FORWARD[::3])
def test_killed_again_and_again(make_stage: MakeStage, record: page.Record, name: str) -> None:
    """The one who resumes dies too, and so does the next; a failure tells the seed, STACKMEND_TEST_SEED repeats it."""
    chance = random.Random(page.SEED)
    stage = make_stage(name)
    instants, killed = numbered(stage.whole.instants), 0
    for times in _TIMES:
        chosen = sorted(chance.sample(range(len(instants)), times))
        killed += stage.survives(*(instants[place] for place in chosen)).deaths
    record("killed again and again", name, runs=len(_TIMES), killed=killed)
