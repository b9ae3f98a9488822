"""Files that an operator hands back, whole or broken: they are taken as they are, or refused in one sentence."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, MakeDesk
from hypothesis import example, given
from hypothesis import strategies as st
from properties.commands import refused_or_done
from properties.examples import few
from properties.outside import anything, forged, mutated, with_value, without, written
from properties.plans import PROCEDURES, plans

from stackmend.engine import plan as planfile
from stackmend.engine import planning
from stackmend.engine.plan import digest_of
from stackmend.errors import PlanRefused

_NUMBER = itertools.count()


@pytest.mark.parametrize("name", PROCEDURES)
@few(6)
@given(data=st.data())
def test_a_plan_comes_back_from_its_file_as_it_was(name: str, data: st.DataObject, desk_directory: Path) -> None:
    _, plan = data.draw(plans(name))
    path = str(desk_directory / "plan.json")
    planfile.write(plan, path)
    again = planfile.read(path)
    assert (again, digest_of(again.to_json())) == (plan, plan.digest)
    planning.check(again, path)


@few(40)
@given(plan=plans("power-loss").map(lambda found: found[1]), data=st.data())
def test_a_changed_byte_is_refused(plan: planfile.Plan, data: st.DataObject, desk_directory: Path) -> None:
    path = desk_directory / "plan.json"
    planfile.write(plan, str(path))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:place] + data.draw(st.binary(max_size=1)) + whole[place + 1 :])
    try:
        again = planfile.read(str(path))
    except PlanRefused:
        return
    assert again == plan, "only blanks between the values may change"


class TestThroughTheCommands:
    """A mutated plan has the digest that a forger would give it: the digest alone must not be what keeps it out."""

    @pytest.fixture
    def desk(self, make_desk: MakeDesk) -> Desk:
        """Servers whose power has just come back, one of them with volumes that are damaged."""
        volumes = [{"name": "lost", "tag": "data"}, {"name": "wrong"}]
        desk = make_desk(hosts=1, servers=[{"name": "db", "root": "volume", "volumes": volumes}, {"name": "web"}])
        desk.cloud.damage("volume-error", desk.volumes["wrong"])
        desk.cloud.damage("volume-attachments-deleted", desk.volumes["lost"])
        desk.cloud.clear_journal()
        return desk

    @pytest.fixture
    def plan(self, desk: Desk) -> dict[str, Any]:
        """A whole plan."""
        return desk.plan(*desk.sql)

    @pytest.fixture
    def capture(self, desk: Desk) -> dict[str, Any]:
        """A whole capture."""
        path = desk.path("capture.json")
        assert desk.stackmend("capture", "-o", path, *desk.sql).code == 0
        found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return found

    @few(15)
    @given(data=st.data())
    def test_a_mutated_plan(self, desk: Desk, plan: dict[str, Any], data: st.DataObject) -> None:
        new = data.draw(mutated(plan).map(forged) | anything)
        self._tried(desk, new, lambda path: ["run", "--plan", path, "--key", f"k{next(_NUMBER)}"])

    @few(12)
    @given(data=st.data())
    def test_a_mutated_capture(self, desk: Desk, capture: dict[str, Any], data: st.DataObject) -> None:
        new = data.draw(mutated(capture).map(forged) | anything)
        self._tried(desk, new, lambda path: ["plan", "power-loss", "--capture", path])

    @pytest.mark.parametrize(
        ("at", "value"),
        [
            (("cloud",), []),
            (("procedure",), []),
            (("parameters",), None),
            (("stages", 0, "gate"), 0),
            (("lanes", 1, "facts"), {}),
            (("lanes", 1, "facts", "id"), {}),
            (("lanes", 1, "stage"), "nowhere"),
            (("lanes", 1, "steps", 0, "effects"), []),
            (("lanes", 1, "locks"), [None]),
            (("lanes", 1, "title"), "\ud800"),
        ],
    )
    def test_plans_that_were_once_believed(self, desk: Desk, plan: dict[str, Any], at: Any, value: Any) -> None:
        ended = self._tried(desk, forged(with_value(plan, at, value)), lambda path: ["run", "--plan", path])
        assert ended == 2

    def test_a_plan_that_leaves_out_what_has_a_usual_value(self, desk: Desk, plan: dict[str, Any]) -> None:
        new = forged(without(plan, ("lanes", 1, "steps", 0, "when")))
        assert self._tried(desk, new, lambda path: ["run", "--plan", path]) == 2

    @pytest.mark.parametrize(
        ("at", "value"),
        [
            (("servers", 0), {}),
            (("servers", 0, "metadata"), None),
            (("servers", 0, "disks"), [{}]),
            (("servers", 0, "addresses"), [None]),
            (("servers", 0, "name"), "\ud800"),
        ],
    )
    def test_captures_that_were_once_believed(self, desk: Desk, capture: dict[str, Any], at: Any, value: Any) -> None:
        new = forged(with_value(capture, at, value))
        assert self._tried(desk, new, lambda path: ["plan", "power-loss", "--capture", path]) == 2

    @few(6)
    @given(raw=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
    @example(raw=b"\xff")
    @example(raw=b'{"format": 1, "digest": "\\ud800"}')
    def test_bytes(self, desk: Desk, raw: bytes) -> None:
        path = Path(desk.path("raw"))
        path.write_bytes(raw)
        for words in (["run", "--plan", str(path)], ["plan", "power-loss", "--capture", str(path)]):
            assert refused_or_done(desk, *words) == 2

    @staticmethod
    def _tried(desk: Desk, data: Any, words: Callable[[str], list[str]]) -> int:
        path = Path(desk.path("given.json"))
        path.write_text(written(data), encoding="utf-8")
        code = refused_or_done(desk, *words(str(path)))
        if code == 6:
            assert refused_or_done(desk, "show", "last") == 0
        return code
