"""A nursery for those who die, and the stages on which they do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from living import MakeLiving, make_living  # noqa: F401
from matrix.ledger import pytest_collection_modifyitems  # noqa: F401
from matrix.page import pytest_runtest_logreport, pytest_terminal_summary, record  # noqa: F401
from matrix.stage import MakeStage, stages
from mortality import Nursery


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """One for each test."""
    with Nursery(tmp_path) as found:
        yield found


@pytest.fixture
def make_stage(make_living: MakeLiving, nursery: Nursery) -> MakeStage:  # noqa: F811
    """Makes the stage of a scenario."""
    return stages(make_living, nursery)
