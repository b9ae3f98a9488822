"""The benchmark is no part of the installed package: it is imported from the checkout."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parents[2]))
