"""A controller that is cut off from the board or from the database: it calls nothing more, and the others go on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from controllers import Controllers, MakeControllers, asked, left
from wire import Wire

from stackmend.lab.databases import MariaDB

pytestmark = pytest.mark.hosts


@pytest.fixture
def house(make_controllers: MakeControllers) -> Controllers:
    """Sixteen servers that are down; Redis and MariaDB."""
    return make_controllers(16, "redis", store=MariaDB)


@pytest.fixture(params=["board", "database"])
def wire(request: pytest.FixtureRequest, house: Controllers) -> Iterator[Wire]:
    """The way of one worker to the board or to the database; ``apart.yaml`` are the settings that take it."""
    settings = yaml.safe_load(Path(house.desk.path("stackmend.yaml")).read_text())
    store = sa.make_url(settings["store"])
    with Wire(settings["board"]["port"] if request.param == "board" else int(store.port or 0)) as found:
        if request.param == "board":
            settings["board"]["port"] = found.port
        else:
            settings["store"] = store.set(port=found.port).render_as_string(hide_password=False)
        Path(house.desk.path("apart.yaml")).write_text(yaml.safe_dump(settings))
        yield found


def test_who_is_cut_off_calls_nothing_more_and_the_others_go_on(house: Controllers, wire: Wire) -> None:
    """It leads the run, and has lanes in hand."""
    watched = house.desk.path("watched")
    apart = house.worker("--config", house.desk.path("apart.yaml"), "--watched-at", watched)
    house.order()
    house.done(2)
    wire.cut()
    house.worker()
    assert asked(watched, "/healthz")[0] == 503
    assert house.ended()["state"] == "done"
    before = house.desk.calls()
    wire.mend()
    house.order("volumes", procedure="reattach-volumes")
    assert house.ended("volumes")["state"] == "nothing-to-do"
    assert asked(watched, "/healthz")[0] == 200
    told = left(apart)
    assert "Traceback" not in told
    house.once_each()
    assert before == house.desk.calls()
