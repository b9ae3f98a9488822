"""What is built once: under which name, by whom, and never half."""

import threading
from pathlib import Path

import pytest

from stackmend.lab.openstack import build, releases
from stackmend.lab.openstack.cache import Cache
from stackmend.lab.openstack.releases import RELEASES


def quiet(_text: str) -> None:
    """Nobody listens."""


def keys() -> tuple[str, str]:
    release = RELEASES["2026.2"]
    return build.environment_key(release), build.state_key(release)


def test_other_pins_have_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, state = keys()
    assert keys() == (environment, state)
    pins = RELEASES["2026.2"].pins.read_text()
    (tmp_path / "2026.2.txt").write_text(pins.replace("nova==34.0.0", "nova==34.0.1"))
    monkeypatch.setattr(releases, "_PINS", tmp_path)
    assert keys()[0] != environment
    assert keys()[1] != state


def test_of_two_builders_one_builds_and_the_other_waits_for_it(tmp_path: Path) -> None:
    building, go_on = threading.Event(), threading.Event()
    built: list[Path] = []
    waits: list[str] = []
    waiting = threading.Event()

    def build_part(place: Path) -> None:
        built.append(place)
        building.set()
        assert go_on.wait(10)
        (place / "part").write_text("whole")

    def say(text: str) -> None:
        waits.append(text)
        waiting.set()

    def second() -> None:
        places.append(Cache(tmp_path, say).part("thing", build_part))

    places: list[Path] = []
    threads = [threading.Thread(target=lambda: places.append(Cache(tmp_path, quiet).part("thing", build_part)))]
    threads[0].start()
    assert building.wait(10)
    threads.append(threading.Thread(target=second))
    threads[1].start()
    assert waiting.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(built) == 1
    assert [(place / "part").read_text() for place in places] == ["whole", "whole"]
    assert waits[0].startswith("waiting for another process")


def test_what_a_builder_left_half_done_is_made_anew(tmp_path: Path) -> None:
    def fail(place: Path) -> None:
        (place / "half").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        Cache(tmp_path, quiet).part("thing", fail)
    place = Cache(tmp_path, quiet).part("thing", lambda place: (place / "whole").touch())
    assert {path.name for path in place.iterdir()} == {"whole", ".complete"}
