"""In which order servers come back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackmend.errors import BadInput
from stackmend.flows import order


def server(name: str, **metadata: str) -> dict[str, Any]:
    return {
        "id": f"id-{name}",
        "name": name,
        "project": "p",
        "metadata": {f"stackmend:{key}": value for key, value in metadata.items()},
    }


def test_names_ids_and_groups() -> None:
    servers = [server("db"), server("cache", after="id-db"), server("web", after="cache, group:back")]
    after, notes = order.dependencies(servers, [{"project": "p", "name": "back", "members": ["id-db", "id-elsewhere"]}])
    assert after == {"id-db": [], "id-cache": ["id-db"], "id-web": ["id-cache", "id-db"]}
    assert notes == []
    assert order.depths(after) == {"id-db": 0, "id-cache": 1, "id-web": 2}


def test_a_name_that_is_not_recovered_is_told_and_not_waited_for() -> None:
    after, notes = order.dependencies([server("web", after="ghost")], [])
    assert after == {"id-web": []}
    assert "ghost" in notes[0]


def test_a_circle_is_named() -> None:
    servers = [server("a", after="c"), server("b", after="a"), server("c", after="b")]
    with pytest.raises(BadInput, match="circle") as refused:
        order.dependencies(servers, [])
    assert all(f"{name} ->" in str(refused.value) for name in "abc")


def test_priorities() -> None:
    found = [order.priority(server("x", **said)) for said in ({}, {"priority": "1"}, {"priority": "soon"})]
    assert found == [100, 1, 100]


@given(st.lists(st.sets(st.integers(0, 11)), min_size=12, max_size=12), st.lists(st.sets(st.integers(0, 11))))
def test_servers_that_share_something_never_wait_in_a_circle(earlier: list[set[int]], sharing: list[set[int]]) -> None:
    """Whatever they come after (lower numbers only: no circle yet), and whatever they share."""
    servers = [
        server(f"s{number}", after=",".join(f"s{other}" for other in sorted(others) if other < number))
        for number, others in enumerate(earlier)
    ]
    after, _ = order.dependencies(servers, [])
    apart = order.apart(servers, after, [[f"id-s{number}" for number in together] for together in sharing])
    assert set(order.depths(apart)) == {f"id-s{number}" for number in range(12)}
    for node, before in after.items():
        assert set(before) <= set(apart[node])
    for together in sharing:
        depths = [order.depths(apart)[f"id-s{number}"] for number in together]
        assert len(set(depths)) == len(depths)
