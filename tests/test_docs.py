"""The documentation says what is there, and what it shows is what comes."""

import argparse
import importlib
import importlib.metadata
import inspect
import pathlib
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from types import ModuleType

import pytest
from transcripts import Block, Typist, blocks, commands, difference

from stackmend import errors
from stackmend.clients.ssh import SshSettings
from stackmend.commands.base import EXIT_CODES
from stackmend.engine import status
from stackmend.engine.parameters import Parameter
from stackmend.engine.procedures import Procedure, catalogue
from stackmend.engine.step import Step
from stackmend.settings import Settings
from stackmend.shell import Shell

ROOT = pathlib.Path(__file__).parents[1]
DOC = ROOT / "doc"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOC.rglob("*.md"))]
PROCEDURES = sorted(catalogue().values(), key=lambda found: found.name)


def text(*place: str) -> str:
    return DOC.joinpath(*place).read_text(encoding="utf-8")


def first_cells(page: str) -> set[str]:
    """What stands in the first column of the page's tables, without its marks."""
    return {cell.strip().strip("`") for cell in re.findall(r"^\|([^|]*)\|", page, re.MULTILINE)}


@pytest.fixture
def typist(tmp_path: pathlib.Path) -> Iterator[Typist]:
    found = Typist(tmp_path)
    yield found
    found.close()


def test_the_command_reference_is_what_the_commands_say() -> None:
    generator = runpy.run_path(str(DOC / "cli_reference.py"))
    assert text("reference", "cli.md") == generator["page"](), "run `python doc/cli_reference.py`"


def test_each_error_is_in_the_table_of_exit_codes() -> None:
    told = set(re.findall(r"^\| (\d+) \| `(\w+)` \|", text("exit-codes.md"), re.MULTILINE))
    there = {
        (str(kind.exit_code), name)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.StackmendError)
    }
    assert told == there


def test_each_state_of_a_run_is_in_the_table_of_exit_codes() -> None:
    told = dict(re.findall(r"^\| `([\w-]+)` \| (\d+) \|", text("exit-codes.md"), re.MULTILINE))
    assert told == {state: str(code) for state, code in EXIT_CODES.items() if state}


def test_each_state_is_explained() -> None:
    page = text("guide", "reports.md")
    states = {
        value
        for name, value in vars(status).items()
        if name.isupper() and isinstance(value, str) and name != "META_KEY"
    }
    assert [state for state in sorted(states) if f"`{state}`" not in page] == []


def test_each_setting_is_in_the_table_of_settings() -> None:
    top, _, ssh = text("guide", "settings.md").partition("## ssh")
    assert {item.name for item in fields(Settings)} <= first_cells(top)
    assert {item.name for item in fields(SshSettings)} <= first_cells(ssh)


def default_of(parameter: Parameter) -> str:
    """A parameter's default as a page says it."""
    default = parameter.default
    if default is None or isinstance(default, str):
        return default or ""
    if isinstance(default, list):
        return ", ".join(default)
    return str(default).lower() if isinstance(default, bool) else f"{default:g}"


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda found: found.name)
def test_each_parameter_is_on_the_procedures_page(procedure: Procedure) -> None:
    page = text("procedures", f"{procedure.name}.md")
    rows = dict(re.findall(r"^\| `--([\w-]+)` \| ([^|]*?) *\|", page, re.MULTILINE))
    for parameter in procedure.parameters:
        assert rows[parameter.name.replace("_", "-")].strip("`") == default_of(parameter)


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda found: found.name)
def test_each_step_that_a_procedure_can_take_is_on_its_page(procedure: Procedure) -> None:
    page = text("procedures", f"{procedure.name}.md")
    source = inspect.getsource(importlib.import_module(procedure.steps.__module__))
    named = re.findall(r"\b(\w+)\.([A-Z]\w+)\(", source)
    steps = {getattr(_tasks(module), name, None) for module, name in named if _tasks(module)}
    slugs = {step.slug for step in steps if inspect.isclass(step) and issubclass(step, Step)}
    assert slugs
    assert [slug for slug in sorted(slugs) if f"`{slug}`" not in page] == []


def _tasks(module: str) -> ModuleType | None:
    return importlib.import_module(f"stackmend.tasks.{module}") if (ROOT / "tasks" / f"{module}.py").is_file() else None


def typed() -> list[tuple[str, str]]:
    """Every command of ours that a page shows, with the page's name."""
    return [
        (str(page.relative_to(ROOT)), command)
        for page in PAGES
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.kind == "console"
        for command, _ in commands(block.body)
        if command.startswith("stackmend ") and " ..." not in command
    ]


@pytest.mark.parametrize(("page", "command"), typed())
def test_each_command_on_a_page_is_one(page: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain = re.sub(r"\$\([^)]*\)", "VALUE", command)
    words = shlex.split(re.split(r"\s*\d?[<>&|;]", plain)[0])[1:]
    points = {point.name: point for point in importlib.metadata.entry_points(group="stackmend.commands")}
    name = "_".join(words[:2]) if "_".join(words[:2]) in points else words[0]
    parser: argparse.ArgumentParser = points[name].load()(Shell(), None).get_parser(name)
    try:
        parser.parse_args(words[name.count("_") + 1 :])
    except SystemExit:
        pytest.fail(f"{page}: {command}: {capsys.readouterr().err}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_somewhere(page: pathlib.Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert broken == []


def test_the_tutorial_happens_as_it_is_told(typist: Typist) -> None:
    assert [told for block in blocks(text("tutorial.md")) for told in _type(typist, block)] == []


def test_the_readmes_demo_is_what_the_demo_shows(typist: Typist) -> None:
    typist.type('make() { stackmend "$1"; }')
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = [block.body for block in blocks(readme) if block.kind == "console"]
    command, _, said = shown.removeprefix("$ ").partition("\n")
    assert difference(said, typist.type(command)) is None


def _type(typist: Typist, block: Block) -> list[str]:
    kinds = {"pycon": typist.python, "console": typist.console}
    return kinds[block.kind](block) if block.kind in kinds else []


def test_the_procedure_of_the_page_on_writing_one_works(typist: Typist, tmp_path: pathlib.Path) -> None:
    page = text("writing-a-procedure.md")
    code = "\n\n".join(block.body for block in blocks(page) if block.kind == "python")
    (tmp_path / "startup.py").write_text(code, encoding="utf-8")
    points = next(block.body for block in blocks(page) if block.kind == "ini").split("\n", 1)[1]
    info = tmp_path / "startup-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: startup\nVersion: 1\n", encoding="utf-8")
    group, point = [line.strip().rstrip(" =") for line in points.splitlines() if line.strip()]
    (info / "entry_points.txt").write_text(f"[{group}]\n{point}\n", encoding="utf-8")
    assert _type(typist, Block("pycon", _CLOUD)) == []
    assert _type(typist, Block("console", _START)) == []
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "startup.py"], cwd=tmp_path, check=False
    )
    assert checked.returncode == 0


_CLOUD = """\
>>> from pathlib import Path
>>> from stackmend.lab.control import SimulatedCloud
>>> cloud = SimulatedCloud(Path("cloud")).start()
>>> names = cloud.seed(canned="demo")
"""
_START = """\
$ export PYTHONPATH=$PWD OS_CLIENT_CONFIG_FILE=$PWD/cloud/clouds.yaml OS_CLOUD=sim XDG_STATE_HOME=$PWD/state
$ stackmend run start-servers --server old-1 --server web-1 --key one --yes 2> /dev/null
run 00000000-0000-0000-0000-000000000000  start-servers  done
lanes: 1 done
...
$ stackmend revert one 2> /dev/null
run 00000000-0000-0000-0000-000000000000  start-servers  reverted
lanes: 1 reverted
...
$ openstack server list --all-projects --sort-column Name -f value -c Name -c Status | grep -E '^(old|web)-1 '
old-1 SHUTOFF
web-1 ACTIVE
"""
