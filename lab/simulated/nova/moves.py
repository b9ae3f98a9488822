"""Moves between hosts: evacuate and live migration."""

from typing import Any

from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Reply


def evacuate(call: Call, row: Row, given: Any) -> Reply:
    raise ApiError(501, "not yet")


def migrate_live(call: Call, row: Row, given: Any) -> Reply:
    raise ApiError(501, "not yet")
