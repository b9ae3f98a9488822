"""What the tests of this directory share; the benchmark is imported from the checkout."""

import pathlib
import sys

from living import living, make_living  # noqa: F401

sys.path.append(str(pathlib.Path(__file__).parents[2]))
