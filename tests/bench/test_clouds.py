"""The benchmark of clouds: what it reckons, and that what it plays really brings servers back."""

from collections import Counter

import pytest

from bench import clouds, town, ways
from bench.town import EVACUATE, POWER_LOSS, Cost


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud in which nothing takes long."""
    for name, seconds in (("CALL_SECONDS", 0.01), ("BOOT_SECONDS", 0.2), ("_BEAT", 0.5)):
        monkeypatch.setattr(town, name, seconds)


@pytest.mark.parametrize(
    ("procedure", "victims", "seconds", "calls"),
    [
        # 25 hosts with 40 servers each: five boots behind one another, and a thousand calls through 32 places.
        (POWER_LOSS, 1000, 5 * 30 + 1000 * 0.2 / 32, 1000),
        # 40 servers on 24 other hosts.
        (EVACUATE, 40, 30 + 40 * 0.2 / 32, 40),
        # Ten on each of those, eight at once.
        (EVACUATE, 240, 2 * 30 + 240 * 0.2 / 32, 240),
    ],
)
def test_the_lower_bound(
    monkeypatch: pytest.MonkeyPatch, procedure: str, victims: int, seconds: float, calls: int
) -> None:
    monkeypatch.setattr(town, "CALL_SECONDS", 0.2)
    monkeypatch.setattr(town, "BOOT_SECONDS", 30.0)
    assert town.lower_bound(procedure, 25, victims) == Cost(seconds, Counter(POST=calls))


@pytest.mark.parametrize("procedure", town.PROCEDURES)
def test_a_small_cloud_is_brought_back_and_told(procedure: str) -> None:
    rows = clouds.measured(procedure, 9, 1, ["stackmend"])
    bound, ours = rows
    assert (bound.way, ours.way) == (clouds.BOUND, "stackmend")
    assert ours.servers == (9 if procedure == POWER_LOSS else 3)
    # Just the calls that there must be change anything; an evacuation disables its host and forces it down besides.
    more = 0 if procedure == POWER_LOSS else 2
    assert sum(ours.cost.calls.values()) - ours.cost.calls["GET"] == bound.cost.calls["POST"] + more
    assert 0 < ours.cost.cpu < 60
    assert 50 < ours.cost.resident < 500
    lines = clouds.table(rows)
    assert lines[-1].startswith(f"| {procedure}, 9 ({ours.servers}) | stackmend | ")


def test_what_is_played_in_part_stands_for_the_whole() -> None:
    found = ways._scaled(Cost(20.0, Counter(POST=10), 5.0, 70.0, 1.0), 10, 1000)
    assert found == Cost(2000.0, Counter(POST=1000), 500.0, 70.0, 100.0, played=10)
    line = clouds.table([clouds.Row(POWER_LOSS, 1000, 1000, clouds.BOUND, found)])[-1]
    assert "from 10 | about 2,000 |" in line
