"""A run's report as one self-contained HTML page: graph, timeline, evidence."""

from collections.abc import Mapping
from typing import Any

import jinja2
import networkx as nx

from stackmend.engine import clock

_ROW = 22


def page(data: Mapping[str, Any]) -> str:
    """The page: no script, no outside file, every value escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stackmend.engine"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(data=data, timeline=timeline(data), graph=graph(data))


def timeline(data: Mapping[str, Any]) -> dict[str, Any]:
    """Bars, in per cent of the run's length, one for each lane."""
    times = [
        clock.parsed(step[end]).timestamp()
        for lane in data["lanes"]
        for step in lane["steps"]
        for end in ("began", "ended")
        if step[end]
    ]
    if not times:
        return {"length": 0.0, "rows": []}
    first, length = min(times), max(max(times) - min(times), 0.001)
    rows = [
        {
            "title": lane["title"],
            "state": lane["state"],
            "bars": [_bar(step, first, length) for step in lane["steps"] if step["began"]],
        }
        for lane in data["lanes"]
    ]
    return {"length": length, "rows": rows}


def graph(data: Mapping[str, Any]) -> dict[str, Any]:
    """Lanes as boxes in columns, left to right by what they come after; edges between them."""
    stages = [stage["name"] for stage in data["stages"]]
    depth: dict[str, int] = {}
    offset = 0
    for stage in stages:
        lanes = [lane for lane in data["lanes"] if lane["stage"] == stage]
        for lane in _by_dependency(lanes):
            depth[lane["lane"]] = max([depth[key] + 1 for key in lane["after"] if key in depth] + [offset])
        offset = max([depth[lane["lane"]] + 1 for lane in lanes] + [offset])
    placed: dict[int, int] = {}
    boxes = []
    for lane in data["lanes"]:
        column = depth[lane["lane"]]
        row = placed.get(column, 0)
        placed[column] = row + 1
        boxes.append(
            {
                "lane": lane["lane"],
                "title": lane["title"],
                "state": lane["state"],
                "x": column * 190 + 10,
                "y": row * _ROW * 1.5 + 10,
            }
        )
    at = {box["lane"]: box for box in boxes}
    # What follows from other arrows is left out: a line across every box in between says nothing.
    order = nx.DiGraph([(key, lane["lane"]) for lane in data["lanes"] for key in lane["after"] if key in at])
    edges = [(at[earlier], at[later]) for earlier, later in nx.transitive_reduction(order).edges]
    return {
        "boxes": boxes,
        "edges": edges,
        "width": offset * 190 + 10,
        "height": max(placed.values(), default=1) * _ROW * 1.5 + 20,
    }


def _by_dependency(lanes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ordered: list[dict[str, Any]] = []
    waiting, known = list(lanes), {lane["lane"] for lane in lanes}
    while waiting:
        placed = {lane["lane"] for lane in ordered}
        ready = [lane for lane in waiting if not (set(lane["after"]) & known) - placed]
        ordered += ready or waiting
        waiting = [lane for lane in waiting if lane not in ordered]
    return ordered


def _bar(step: Mapping[str, Any], first: float, length: float) -> dict[str, Any]:
    began = clock.parsed(step["began"]).timestamp()
    ended = clock.parsed(step["ended"]).timestamp() if step["ended"] else began
    return {
        "name": step["name"],
        "state": step["state"],
        "left": round(100 * (began - first) / length, 3),
        "width": round(max(100 * (ended - began) / length, 0.2), 3),
    }
