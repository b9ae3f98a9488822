"""A nursery for those who die, and the stages on which they do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from living import MakeLiving, make_living  # noqa: F401
from matrix.page import WHOLE, pytest_terminal_summary, record  # noqa: F401
from matrix.stage import MakeStage, stages
from mortality import Nursery

# These stop and wake processes; they are a part of the whole matrix only, until they hold on a busy machine.
collect_ignore = [] if WHOLE else ["test_store.py", "test_split_brain.py"]


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """One for each test."""
    with Nursery(tmp_path) as found:
        yield found


@pytest.fixture
def make_stage(make_living: MakeLiving, nursery: Nursery) -> MakeStage:  # noqa: F811
    """Makes the stage of a scenario."""
    return stages(make_living, nursery)
