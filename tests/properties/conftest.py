"""How many examples are tried: a few, the same each time; with STACKMEND_TEST_EVERY=1 many, and new ones."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import configuration, settings
from properties.examples import USUAL

# What hypothesis keeps for itself (tables of Unicode) is kept away from the repository.
configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "stackmend-hypothesis")
settings.register_profile("stackmend", USUAL)
settings.load_profile("stackmend")


@pytest.fixture(scope="module")
def desk_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that all examples of a module share."""
    return tmp_path_factory.mktemp("fuzz")
