"""How many examples a property is tried with."""

import os

from hypothesis import HealthCheck, settings

# The examples of one test share its fixtures, on purpose: each takes care to begin afresh.
_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
_MORE = 20
_EVERY = os.environ.get("STACKMEND_TEST_EVERY") == "1"


def few(number: int) -> settings:
    """Settings of a test whose examples are dear: ``number`` of them, twenty times as many if every one is asked for.

    The usual ones are the same each time; the many are new ones, and a failure prints the line that repeats it.
    """
    return settings(
        max_examples=number * _MORE if _EVERY else number,
        derandomize=not _EVERY,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=_SHARED,
    )


USUAL = few(60)
