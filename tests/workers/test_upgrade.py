"""Controllers are upgraded one after the other, with a run in flight."""

import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from controllers import Controllers, MakeControllers, left
from waiting import until

import stackmend
from stackmend.engine.store import Store
from stackmend.lab.databases import MariaDB

pytestmark = pytest.mark.hosts
_VERSION = 'version="1"'


@pytest.fixture
def house(make_controllers: MakeControllers) -> Controllers:
    """Servers enough for a worker to come while others are at it; Redis and MariaDB."""
    return make_controllers(32, "redis", store=MariaDB, lanes=2)


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """Where a later release is installed: it keeps one thing more of each run."""
    where = tmp_path / "later"
    shutil.copytree(Path(stackmend.__file__).parent, where / "stackmend", ignore=shutil.ignore_patterns("__pycache__"))
    _edited(where / "stackmend/engine/tables.py", "REVISION = 1", "REVISION = 2")
    _edited(
        where / "stackmend/engine/tables.py",
        '    sa.Column("lease_until", sa.Double),\n)',
        '    sa.Column("lease_until", sa.Double),\n    sa.Column("mood", sa.String(8)),\n)',
    )
    return where


def test_a_run_is_begun_by_one_release_and_ended_by_the_next(
    house: Controllers, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = house.worker()
    house.order()
    house.done(1)
    monkeypatch.chdir(later)
    new = house.worker()
    until(lambda: "mood" in _columns(house), "the later release has added its column")
    told = left(old)
    assert ": done" in told
    assert not house.look()["ended"]
    assert house.ended()["state"] == "done"
    house.once_each()
    assert ": done" in (after := left(new))
    assert "Traceback" not in told + after


def test_a_run_of_another_version_of_its_procedure_is_left_to_who_has_it(
    house: Controllers, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _edited(later / "stackmend/flows/power_loss.py", _VERSION, 'version="2"')
    old = house.worker()
    house.order()
    house.done(1)
    said = later / "said"
    with said.open("w") as log, monkeypatch.context() as patched:
        patched.chdir(later)
        new = subprocess.Popen([sys.executable, "-m", "stackmend", "worker", *house.desk.sql], stderr=log)
    try:
        house.done(3)
        left(old, signal.SIGKILL)
        until(lambda: "installed is version 2" in said.read_text(), "the later release says what it leaves alone")
        before = house.report()["lanes"]
        assert any(lane["state"] != "done" for lane in before)
        house.worker()
        assert house.ended()["state"] == "done"
    finally:
        new.terminate()
        new.wait(60)
    house.once_each()
    assert said.read_text().count("installed is version 2") == 1
    assert not [text for text in (": done", "Traceback") if text in said.read_text()]


def _edited(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def _columns(house: Controllers) -> set[str]:
    with closing(Store(house.store)) as store:
        return {column["name"] for column in sa.inspect(store.engine).get_columns("stackmend_runs")}
