"""What /openapi.json promises holds, whatever is sent: schemathesis makes it up."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from listening import EVACUATE, TOKEN, Listening

from stackmend.alarms.configuration import SOURCES

_EXAMPLES = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    directory = tmp_path_factory.mktemp("openapi")
    trust = {name: {"token": str(directory / "secret")} for name in SOURCES}
    with Listening(directory, [EVACUATE], sources=trust) as found:
        yield found


@pytest.fixture(scope="module")
def described(listening: Listening) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{listening.port}/openapi.json")


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@_EXAMPLES
def test_it_answers_as_it_says(case: Any) -> None:
    case.call_and_validate(headers=TOKEN)


def test_it_is_well_after_all_of_that(listening: Listening) -> None:
    listening.verdicts()
    assert listening.get("/healthz")[0] == 200
