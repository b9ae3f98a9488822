"""A lane's graph is what TaskFlow's own compiler would have made of its chain."""

from typing import Any

import pytest
from taskflow.engines.action_engine.compiler import PatternCompiler

from stackmend.engine.lane_engine import compiled
from stackmend.engine.lanes import chain
from stackmend.engine.step import Step


class Nothing(Step):
    """Undo: none."""

    slug = "test.nothing"
    title = "does nothing"


@pytest.mark.parametrize("length", [0, 1, 4])
def test_a_chain_is_compiled_as_taskflow_compiles_it(length: int) -> None:
    flow = chain("lane", [Nothing(str(number)) for number in range(length)])
    ours, theirs = compiled(flow), PatternCompiler(flow).compile()
    assert _graph(ours.execution_graph) == _graph(theirs.execution_graph)
    assert _tree(ours.hierarchy) == _tree(theirs.hierarchy)


def _graph(graph: Any) -> tuple[list[Any], list[Any]]:
    nodes = [(node.name, data) for node, data in graph.nodes(data=True)]
    return nodes, [(earlier.name, later.name, data) for earlier, later, data in graph.edges(data=True)]


def _tree(tree: Any) -> list[Any]:
    return [(node.item.name, node.metadata) for node in (tree, *tree.dfs_iter())]
