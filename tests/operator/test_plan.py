"""The plan changes nothing, and what runs afterwards is what it printed, call by call."""

import pytest
from desk import Desk, quick
from effects import break_shop, effects, happened, unplanned


@pytest.mark.parametrize("with_sql", [True, False], ids=["with SQL", "API only"])
def test_what_runs_is_what_the_plan_printed(shop: Desk, with_sql: bool) -> None:
    break_shop(shop)
    sql = shop.sql if with_sql else []
    plan, path = shop.plan(*sql, "-o", shop.path("plan.json")), shop.path("plan.json")
    assert shop.stackmend("run", "--plan", path, "--yes", *sql).code == 0
    assert unplanned(plan, happened(shop)) == []
    kept = shop.stackmend("show", "last", "-f", "json").data["plan"]
    assert kept == plan


def test_every_effect_is_printed_for_people_too(shop: Desk) -> None:
    break_shop(shop)
    plan = shop.plan(*shop.sql)
    text = shop.stackmend("plan", "power-loss", *quick(), *shop.sql).out
    for lane in effects(plan):
        assert all(effect["text"] in text for _, effect in lane)
    assert "point of no return" in text


def test_the_plan_changes_nothing(shop: Desk) -> None:
    break_shop(shop)
    before, guests = shop.rows(), shop.cloud.state()["guests"]
    shop.cloud.clear_journal()
    shop.plan(*shop.sql)
    shop.plan()
    assert shop.stackmend("capture", "power-loss", "-o", shop.path("capture.json"), *shop.sql).code == 0
    assert shop.stackmend("doctor", *shop.sql).code == 0
    assert (shop.touched(), shop.calls()) == ([], [])
    now = shop.rows()
    assert {name: now[name] == before[name] for name in now if not name.startswith("neutron")} == {
        name: True for name in now if not name.startswith("neutron")
    }
    assert shop.cloud.state()["guests"] == guests
    assert shop.stackmend("list", "-f", "json").data == []
