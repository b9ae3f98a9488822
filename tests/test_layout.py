"""The house: rooms at the top are the packages, and their dependencies point one way."""

import ast
import configparser
import importlib
import os
import pathlib
import pkgutil
from collections.abc import Iterator

import pytest

import stackmend.tasks
from stackmend.engine.step import Step

ROOT = pathlib.Path(__file__).parents[1]
ROOMS = ("flows", "tasks", "clients", "engine", "workbooks", "alarms", "lab")
# What each room may import of ours: a package with everything in it, or (with "=") that module alone.
ALLOWED = {
    "clients": ("stackmend.clients", "=stackmend.errors", "=stackmend.pausing", "=stackmend.texts"),
    # Procedures are found by name: the engine knows the package, never a module in it.
    "engine": ("stackmend.engine", "=stackmend.errors", "=stackmend.flows", "=stackmend.pausing", "=stackmend.texts"),
    "tasks": ("stackmend.tasks", "stackmend.clients", "stackmend.engine", "=stackmend.errors"),
    "flows": ("stackmend.flows", "stackmend.tasks", "stackmend.engine", "=stackmend.errors"),
    "alarms": ("stackmend.alarms", "stackmend.engine", "=stackmend.errors", "=stackmend.settings"),
    "workbooks": (
        "stackmend.workbooks",
        "stackmend.clients",
        "stackmend.engine",
        "=stackmend.errors",
        "=stackmend.settings",
    ),
    # The simulated cloud shares no code with what is tried on it.
    "lab": ("stackmend.lab", "=stackmend.errors"),
}


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def packages() -> set[str]:
    return set(setup()["options"]["packages"].split())


def package_of(directory: pathlib.Path) -> str:
    relative = directory.relative_to(ROOT)
    parts = relative.parts if relative.parts[0] == "stackmend" else ("stackmend", *relative.parts)
    return ".".join(parts)


def directories(room: str) -> Iterator[pathlib.Path]:
    """Every directory of a room that holds modules; links are not followed."""
    for where, _, files in os.walk(ROOT / room):
        if any(name.endswith(".py") for name in files):
            yield pathlib.Path(where)


def test_each_directory_with_modules_is_a_listed_package() -> None:
    found = {package_of(directory) for room in ("stackmend", *ROOMS) for directory in directories(room)}
    assert found == packages()


def test_each_package_says_that_it_is_one() -> None:
    missing = [
        str(directory.relative_to(ROOT))
        for room in ("stackmend", *ROOMS)
        for directory in directories(room)
        if not (directory / "__init__.py").is_file()
    ]
    assert missing == []


def test_rooms_are_mapped_to_the_top_of_the_repository() -> None:
    mapped = dict(line.split(" = ") for line in setup()["options"]["package_dir"].strip().splitlines())
    assert mapped == {"stackmend": "stackmend", **{f"stackmend.{room}": room for room in ROOMS}}


@pytest.mark.parametrize("room", ROOMS)
def test_the_link_for_editors_and_checkers_leads_to_the_room(room: str) -> None:
    link = ROOT / "stackmend" / room
    if link.is_file():
        pytest.skip("this checkout has no symbolic links")
    assert link.is_symlink()
    assert os.readlink(link) == f"../{room}"
    assert not (ROOT / room).is_symlink()


def imports(path: pathlib.Path) -> Iterator[str]:
    """Every module of ours that a file imports, by its whole name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [_module(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "stackmend")


def _module(package: str, name: str) -> str:
    """``from package import name``: the name may be a module itself."""
    path = ROOT / package.replace(".", "/")
    inner = path / name
    return f"{package}.{name}" if inner.is_dir() or inner.with_suffix(".py").is_file() else package


def allowed(name: str, room: str) -> bool:
    return any(
        name == entry[1:] if entry.startswith("=") else f"{name}.".startswith(f"{entry}.") for entry in ALLOWED[room]
    )


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_dependencies_point_one_way(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for name in imports(path)
        if not allowed(name, room)
    ]
    assert wrong == []


def test_no_room_imports_tests() -> None:
    for room in ("stackmend", *ROOMS):
        for path in (ROOT / room).rglob("*.py"):
            assert "import tests" not in path.read_text(encoding="utf-8"), path


def steps() -> list[type[Step]]:
    """Every step in ``tasks/`` that has a slug of its own."""
    for module in pkgutil.iter_modules(stackmend.tasks.__path__):
        importlib.import_module(f"stackmend.tasks.{module.name}")
    found, waiting = [], [Step]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        # One that is made from two others is met twice.
        if "slug" in vars(kind) and kind.__module__.startswith("stackmend.tasks.") and kind not in found:
            found.append(kind)
    return found


def test_each_step_says_how_it_is_undone() -> None:
    silent = []
    for kind in steps():
        # A step that leaves undoing to the class it is made from is undone as that one says.
        says = next((base for base in kind.__mro__ if "undo" in vars(base)), kind) if kind.undoable else kind
        told = [kind, *([says] if says is not Step else [])]
        if not any("Undo:" in (base.__doc__ or "") for base in told):
            silent.append(kind.__name__)
    assert silent == []


def test_step_slugs_are_unique_and_written_alike() -> None:
    slugs = [kind.slug for kind in steps()]
    assert sorted(set(slugs)) == sorted(slugs)
    assert [
        slug for slug in slugs if not slug.replace(".", "").replace("-", "").isalpha() or slug.count(".") != 1
    ] == []


def test_the_stored_factory_has_not_moved() -> None:
    """Every run that was ever stored is rebuilt by this name."""
    from stackmend.engine import lanes, runs

    assert lanes.FACTORY == "stackmend.engine.runs.build"
    assert callable(runs.build)
