"""A power loss to recover from, and a nursery for those who die of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mortality import Nursery
from rehearsal import SEED, Rehearsal


@pytest.fixture
def rehearsal(make_desk: Any, tmp_path: Path) -> Iterator[Rehearsal]:
    """The same power loss, as often as a test wants it."""
    with Nursery(tmp_path) as nursery:
        yield Rehearsal(make_desk(**SEED), nursery)
