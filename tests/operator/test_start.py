"""What is typed again and again begins at once: nothing is imported, and nothing looked for, that it does not need."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from typing import Any

import pytest
from desk import Desk, quick

# All of others' that may be imported: openstacksdk, or TaskFlow, takes longer than all that looking at a run does.
CLIFF = {"autopage", "cliff", "stevedore"}
STORE = {"greenlet", "sqlalchemy", "typing_extensions"}
SETTINGS = {"yaml"}
TABLE = {"prettytable", "wcwidth"}
# What a recovery would only carry about: 40 MB in all.
BALLAST = {"alembic", "asyncssh", "jinja2", "mako", "paramiko", "sqlalchemy.dialects.mysql", "sqlalchemy.orm"}
_PROBE = """
import json, pathlib, sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
from stackmend.shell import main
try:
    code = main(sys.argv[1:])
except SystemExit as left:
    code = left.code or 0
searched = [pathlib.Path(name).parent.name for name in opened if "entry" in name]
sys.stderr.write("\\n" + json.dumps({"code": code, "modules": sorted(sys.modules), "searched": searched}))
"""


def _probed(*words: str) -> dict[str, Any]:
    """What a command left, imported, and read of the lists of what is installed."""
    ended = subprocess.run([sys.executable, "-c", _PROBE, *words], capture_output=True, text=True, check=True)
    assert ended.stdout
    return dict(json.loads(ended.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (("--help",), CLIFF),
        (("status", "last"), CLIFF | STORE | SETTINGS),
        (("list",), CLIFF | STORE | SETTINGS | TABLE),
    ],
)
def test_nothing_is_imported_that_is_not_needed(shop: Desk, words: tuple[str, ...], needed: set[str]) -> None:
    assert shop.stackmend("run", "power-loss").code == 6
    probed = _probed(*words)
    assert probed["code"] in (0, 6)
    tops = {name.partition(".")[0] for name in probed["modules"]}
    others = {name for name in tops & set(packages_distributions()) if not name.startswith("_")}
    assert others - needed == {"stackmend"}
    rooms = {name.split(".")[1] for name in probed["modules"] if name.startswith("stackmend.")}
    assert rooms & {"alarms", "clients", "flows", "lab", "tasks", "workbooks"} == set()


@pytest.mark.parametrize("words", [("--help",), ("status", "last"), ("list",), ("list", "-f", "csv")])
def test_no_search_through_what_is_installed(shop: Desk, words: tuple[str, ...]) -> None:
    assert shop.stackmend("run", "power-loss").code == 6
    searched = {re.split("[-.]", name)[0] for name in _probed(*words)["searched"]}
    assert searched <= {"cliff", "stackmend"}


def test_a_recovery_carries_nothing_that_it_does_not_use(pair: Desk) -> None:
    probed = _probed("run", "power-loss", "--yes", "-f", "json", *quick(), *pair.sql)
    assert probed["code"] == 0
    assert BALLAST & set(probed["modules"]) == set()


def test_help_tells_of_every_command(shop: Desk) -> None:
    ended = shop.typed("--help")
    assert ended.code == 0
    assert "  run               Plan a procedure, have the plan approved, and execute it\n" in ended.out
    assert "  procedure list " in ended.out
    assert [line for line in ended.out.partition("Commands:")[2].splitlines()[1:] if len(line.split()) < 2] == []
