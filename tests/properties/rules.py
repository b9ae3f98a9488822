"""What holds of every plan, whatever was captured: one function for each rule, which asserts it."""

import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

import networkx as nx
from properties.captures import LEAVING
from properties.plans import of_servers, sentence, server_of

from stackmend.engine.coordinator import Coordinator, Limits
from stackmend.engine.parking import Parking
from stackmend.engine.plan import VERDICTS, Lane, Plan
from stackmend.flows import order

Captured = dict[str, Any]
Rule = Callable[[Captured, Plan], None]
# Those whose servers wait for one another as their owners said.
ORDERED = frozenset(["power-loss", "relocate-host", "host-return", "evacuate-host"])
_MADE_ANEW = ("volume.reattach:", "attachment.create:")


def every_captured_server_has_one_verdict_and_a_reason(captured: Captured, plan: Plan) -> None:
    judged = [verdict.target for verdict in of_servers(plan)]
    assert len(set(judged)) == len(judged)
    assert {f"server:{server['id']}" for server in captured["servers"]} <= set(judged)
    for verdict in plan.verdicts:
        assert verdict.verdict in VERDICTS
        sentence(verdict.why)


def the_servers_that_are_ready_are_those_with_lanes(_captured: Captured, plan: Plan) -> None:
    worked_on = {f"server:{server}" for lane in plan.lanes if (server := server_of(lane))}
    assert worked_on == _ready(plan)
    assert {target for target in plan.targets() if target.startswith("server:")} <= worked_on


def a_server_that_leaves_is_never_ready(captured: Captured, plan: Plan) -> None:
    """One that is being deleted, or is on its way to another host, is not ours to touch."""
    leaving = {f"server:{server['id']}" for server in captured["servers"] if server["task_state"] in LEAVING}
    assert _ready(plan) & leaving == set()


def every_lane_begins_once_and_none_waits_in_a_circle(_captured: Captured, plan: Plan) -> None:
    assert nx.is_directed_acyclic_graph(_earlier(plan))
    assert sorted(lane.key for lane in _admitted(plan)) == sorted(lane.key for lane in plan.lanes)


def servers_come_in_the_order_that_their_owners_asked_for(captured: Captured, plan: Plan) -> None:
    if plan.procedure not in ORDERED:
        return
    mine = [lane for lane in plan.lanes if server_of(lane) and lane.facts.get("part", "start") == "start"]
    keys = {str(server_of(lane)): lane.key for lane in mine}
    known = {server["id"]: server for server in captured["servers"]}
    known |= {lane.facts["id"]: lane.facts["then"] for lane in mine if "then" in lane.facts}
    asked, _ = order.dependencies([known[server] for server in keys], captured["groups"])
    graph = _earlier(plan)
    for later, before in asked.items():
        for first in before:
            assert nx.has_path(graph, keys[first], keys[later])


def of_lanes_that_could_begin_the_first_priority_does(_captured: Captured, plan: Plan) -> None:
    begun = _admitted(plan)
    for place, lane in enumerate(begun):
        ended = {one.key for one in begun[:place]}
        waiting = [one for one in begun[place:] if one.stage == lane.stage]
        keys = {one.key for one in waiting}
        could = [one for one in waiting if not (set(one.after) & keys) - ended]
        assert lane.priority == min(one.priority for one in could)


def lanes_that_write_the_same_come_one_after_another(_captured: Captured, plan: Plan) -> None:
    """The same server in one stage; or the same volume, where an attachment of it is made."""
    graph = _earlier(plan)
    for one, other in itertools.combinations(plan.lanes, 2):
        same_server = server_of(one) is not None and server_of(one) == server_of(other)
        if one.stage == other.stage and (same_server or _attached(one) & _attached(other)):
            assert nx.has_path(graph, one.key, other.key) or nx.has_path(graph, other.key, one.key)


def every_lane_is_in_a_stage_and_its_steps_have_names_of_their_own(_captured: Captured, plan: Plan) -> None:
    assert {lane.stage for lane in plan.lanes} <= {stage.name for stage in plan.stages}
    for lane in plan.lanes:
        names = [step.name for step in lane.steps]
        assert names
        assert len(set(names)) == len(names)


def a_plan_is_plain_json(_captured: Captured, plan: Plan) -> None:
    assert json.loads(json.dumps(plan.to_json())) == plan.to_json()


RULES: tuple[Rule, ...] = (
    every_captured_server_has_one_verdict_and_a_reason,
    the_servers_that_are_ready_are_those_with_lanes,
    a_server_that_leaves_is_never_ready,
    every_lane_begins_once_and_none_waits_in_a_circle,
    servers_come_in_the_order_that_their_owners_asked_for,
    of_lanes_that_could_begin_the_first_priority_does,
    lanes_that_write_the_same_come_one_after_another,
    every_lane_is_in_a_stage_and_its_steps_have_names_of_their_own,
    a_plan_is_plain_json,
)


def _ready(plan: Plan) -> set[str]:
    return {verdict.target for verdict in of_servers(plan) if verdict.verdict == "ready"}


def _earlier(plan: Plan) -> nx.DiGraph:
    """The lanes of a plan, with an arrow from each to those that come after it."""
    graph = nx.DiGraph()
    graph.add_nodes_from(lane.key for lane in plan.lanes)
    graph.add_edges_from((key, lane.key) for lane in plan.lanes for key in lane.after if key in graph)
    return graph


def _admitted(plan: Plan) -> list[Lane]:
    """The lanes as a coordinator begins them that has room for one at a time."""
    begun: list[Lane] = []

    def work(lane: Lane, _: Parking | None) -> bool:
        begun.append(lane)
        return True

    Coordinator(plan.stages, Limits(lanes=1), threading.Event()).run(plan.lanes, work)
    return begun


def _attached(lane: Lane) -> set[str]:
    """The volumes of which a lane makes attachments, whatever it finds."""
    steps = [step.name for step in lane.steps if step.name.startswith(_MADE_ANEW) and step.when == "always"]
    volumes = {disk["volume_id"] for disk in lane.facts.get("disks", ())}
    return {volume for volume in volumes if any(volume in name for name in steps)}
