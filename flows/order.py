"""In which order servers come back: what each one says it comes after, and what they share."""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import networkx as nx

from stackmend.errors import BadInput

AFTER = "stackmend:after"
PRIORITY = "stackmend:priority"
DEFAULT_PRIORITY = 100

Server = Mapping[str, Any]


def dependencies(
    servers: Sequence[Server], groups: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, list[str]], list[str]]:
    """For each server the ids it comes after, and notes on names that mean nothing here.

    Metadata ``stackmend:after`` holds names or ids of servers, or ``group:NAME`` of a server group, parted
    by commas. A name means what the server's own project calls so. Raises BadInput naming the servers of a circle.
    """
    named: dict[tuple[str, str], list[str]] = defaultdict(list)
    for server in servers:
        named[server["project"], server["name"]].append(server["id"])
    for group in groups:
        named[group["project"], f"group:{group['name']}"] += group["members"]
    graph = nx.DiGraph()
    graph.add_nodes_from(server["id"] for server in servers)
    notes = []
    for server in servers:
        for name in _names(server["metadata"].get(AFTER)):
            meant = named.get((server["project"], name), [name])
            known = [member for member in meant if member in graph and member != server["id"]]
            graph.add_edges_from((member, server["id"]) for member in known)
            if not known:
                notes.append(
                    f"{server['name']} comes after {name}, which is nothing of its project that this plan recovers: "
                    "not waited for"
                )
    _refuse_circles(graph, {server["id"]: server["name"] for server in servers})
    return {node: sorted(graph.predecessors(node)) for node in graph}, notes


def priority(server: Server) -> int:
    """The server's priority: 1 before 2; 100 where nothing, or no number, is said."""
    try:
        return int(server["metadata"].get(PRIORITY, DEFAULT_PRIORITY))
    except ValueError:
        return DEFAULT_PRIORITY


def depths(after: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many servers each one waits for, one behind the other."""
    graph = nx.DiGraph([(earlier, later) for later, earlier_ones in after.items() for earlier in earlier_ones])
    graph.add_nodes_from(after)
    return {node: depth for depth, nodes in enumerate(nx.topological_generations(graph)) for node in nodes}


def apart(
    servers: Sequence[Server], after: Mapping[str, Sequence[str]], sharing: Iterable[Collection[str]]
) -> dict[str, list[str]]:
    """``after``, and servers that share something come one after another, in the order that they have anyway.

    ``sharing`` holds the ids that share one thing. No circle can come of it.
    """
    depth = depths(after)
    ordered = sorted(servers, key=lambda server: (depth[server["id"]], priority(server), server["name"]))
    place = {server["id"]: number for number, server in enumerate(ordered)}
    found = {node: set(earlier) for node, earlier in after.items()}
    for together in sharing:
        for earlier, later in itertools.pairwise(sorted(together, key=place.__getitem__)):
            found[later].add(earlier)
    return {node: sorted(earlier) for node, earlier in found.items()}


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _refuse_circles(graph: nx.DiGraph, names: Mapping[str, str]) -> None:
    try:
        circle = nx.find_cycle(graph)
    except nx.NetworkXNoCycle:
        return
    chain = " -> ".join([names[edge[0]] for edge in circle] + [names[circle[0][0]]])
    raise BadInput(
        f"these servers wait for one another in a circle: {chain}; change {AFTER} on one of them, or --exclude one"
    )
