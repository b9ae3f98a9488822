"""The entry of every API of the lab: the service's own application, which can be told to answer late.

LAB_APPLICATION is ``MODULE:NAME``, or ``MODULE:MAKER()``. While the file LAB_SLOW is there, each call waits the
seconds that it holds.
"""

import os
from collections.abc import Iterable
from importlib import import_module

# Taken before the application is imported: a service may put a sleep of its own in its place.
from time import sleep
from typing import Any

_module, _, _name = os.environ["LAB_APPLICATION"].partition(":")
_application = getattr(import_module(_module), _name.removesuffix("()"))
if _name.endswith("()"):
    _application = _application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Wait as long as one is told to, and let the service answer."""
    sleep(_seconds())
    answer: Iterable[bytes] = _application(environ, start_response)
    return answer


def _seconds() -> float:
    try:
        with open(os.environ["LAB_SLOW"], encoding="ascii") as told:
            return float(told.read() or 0)
    except FileNotFoundError:
        return 0.0
