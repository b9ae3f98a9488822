"""The wheel: everything that the checkout has is in it, and it works without the checkout."""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
ROOMS = ("flows", "tasks", "clients", "engine", "workbooks", "alarms", "lab")
DATA = ("*.py", "*.j2", "*.txt", "*.yaml", "*.service", "py.typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A wheel, built from a copy: building leaves files in the tree that it builds from."""
    copy = tmp_path_factory.mktemp("source") / "stackmend"
    away = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "build", "demo", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=away)
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(copy)]
    if _builds_wheels():
        build.append("--no-build-isolation")
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return next(target.glob("stackmend-*.whl"))


def _builds_wheels() -> bool:
    """Whether the setuptools here can build a wheel by itself, so that nothing need be fetched for it."""
    try:
        major, minor = importlib.metadata.version("setuptools").split(".")[:2]
    except importlib.metadata.PackageNotFoundError:
        return False
    return (int(major), int(minor)) >= (70, 1)


def wanted() -> set[str]:
    """Every module and data file of the checkout, by its place in the package."""
    found = {f"stackmend/{room}/{path.relative_to(ROOT / room)}" for room in ROOMS for path in files(ROOT / room)}
    return found | {str(path.relative_to(ROOT)) for path in files(ROOT / "stackmend")}


def files(room: pathlib.Path) -> list[pathlib.Path]:
    found = []
    for where, directories, _ in os.walk(room):
        directories[:] = [name for name in directories if not pathlib.Path(where, name).is_symlink()]
        found += [path for pattern in DATA for path in pathlib.Path(where).glob(pattern)]
    return found


def test_each_module_and_data_file_is_in_it_and_nothing_else(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == wanted()


def test_the_command_runs_from_it_alone(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Unpacked before everything else on the path, with the working directory away from the checkout."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site), "HOME": str(tmp_path)}
    where = _python("import stackmend.flows as flows; import sys; sys.stdout.write(flows.__file__)", environment, site)
    assert where == str(site / "stackmend" / "flows" / "__init__.py")
    listed = _python("from stackmend.shell import main; main(['procedure', 'list', '-f', 'csv'])", environment, site)
    assert '"power-loss"' in listed


def _python(code: str, environment: dict[str, str], directory: pathlib.Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
