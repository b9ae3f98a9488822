"""How plans, statuses and reports read in a terminal."""

from collections.abc import Mapping
from typing import Any

from stackmend.engine.plan import Lane, Plan


def plan(found: Plan) -> str:
    """The whole plan: verdicts, notes, and every step with its exact effects."""
    lines = [
        f"plan of {found.procedure} (version {found.version}) for {found.cloud.get('auth_url', '?')}, "
        f"made {found.made_at} by {found.made_by}",
        f"digest {found.digest}",
        "",
        "verdicts",
        *(f"  {verdict.verdict:<14} {verdict.title:<20} {verdict.why}" for verdict in found.verdicts),
    ]
    if found.notes:
        lines += ["", "notes", *(f"  {note}" for note in found.notes)]
    for stage in found.stages:
        lanes = [lane for lane in found.lanes if lane.stage == stage.name]
        if lanes:
            lines += [
                "",
                f"stage {stage.name}: {stage.title}{' (nothing goes on without it)' if stage.gate else ''}",
                *([f"  held until you approve it: {stage.hold}"] if stage.hold else []),
            ]
            lines += [line for lane in lanes for line in _lane(found, lane)]
    lines += [
        "",
        f"{len(found.lanes)} lanes; about {found.estimate_seconds:.0f} s at least along the longest chain",
    ]
    return "\n".join(lines)


def _lane(found: Plan, lane: Lane) -> list[str]:
    after = f", after {', '.join(found.lane(key).title for key in lane.after)}" if lane.after else ""
    lines = [f"  {lane.title} ({lane.key}{after})"]
    no_return = found.point_of_no_return(lane)
    for step in lane.steps:
        mark = "  <- point of no return" if no_return is not None and step.name == no_return.name else ""
        condition = "" if step.when == "always" else f" [{step.when}]"
        lines.append(f"    {step.name}: {step.title}{condition}{mark}")
        if step.why:
            lines.append(f"      why: {step.why}")
        lines += [f"      {effect['text']}" for effect in step.effects]
    return lines


def status(data: Mapping[str, Any]) -> str:
    """A run's state, what is not done yet, and what to type next."""
    counted = ", ".join(f"{number} {name}" for name, number in sorted(data["counts"].items()))
    lines = [f"run {data['run']}  {data['procedure']}  {data['state']}", f"lanes: {counted or 'none'}"]
    if data["owner"]:
        lines.append(f"worked on by {data['owner']}")
    if data["waits_for"]:
        lines.append(f"waits for you: {data['waits_for']}")
    lines.append(f"steps completed: {len(data['completed_steps'])}")
    for lane in data["lanes"]:
        if lane["state"] not in ("done", "pending"):
            where = f" at {lane['step']}" if lane["state"] != "reverted" else ""
            lines.append(f"  {lane['state']:<12} {lane['title']:<20}{where}")
            if lane["error"]:
                lines.append(f"               {lane['error']}")
    if data["next"]:
        lines.append(f"next: {data['next']}")
    return "\n".join(lines)


def report(data: Mapping[str, Any]) -> str:
    """The report: who, when, how long for each server, evidence, exceptions, what is left."""
    lines = [
        f"{data['procedure']} (version {data['version']}): {data['state']}",
        f"run {data['run']}, cloud {data['cloud'].get('auth_url', '?')}, plan {data['plan']['digest'][:16]}",
        f"started {data['started_at']}, ended {data['ended_at']}",
        "",
        *(f"  {event['at']}  {event['who']}: {event['what']}{_detail(event)}" for event in data["events"]),
        "",
        f"  {'lane':<22} {'state':<12} {'recovered after':>16} {'took':>9}",
    ]
    for lane in data["lanes"]:
        times = f"{_time(lane['recovered_after']):>16} {_time(lane['seconds']):>9}"
        lines.append(f"  {lane['title']:<22} {lane['state']:<12} {times}")
        lines += [
            f"      {step['name']}: {step['state']}{_proof(step)}"
            for step in lane["steps"]
            if step["acted"] or step["error"]
        ]
    left = [item for item in data["verdicts"] if item["verdict"] != "ready" and item["target"].startswith("server:")]
    if left:
        lines += [
            "",
            "not recovered by this run",
            *(f"  {item['title']}: {item['verdict']}: {item['why']}" for item in left),
        ]
    if data["exceptions"]:
        lines += ["", "exceptions", *(f"  {item['title']}: {item['error']}" for item in data["exceptions"])]
    if data["next"] and data["state"] != "done":
        lines += ["", f"next: {data['next']}"]
    return "\n".join(lines)


def _detail(event: Mapping[str, Any]) -> str:
    return f" ({event['detail']})" if event["detail"] else ""


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


def _proof(step: Mapping[str, Any]) -> str:
    if step["error"]:
        return f": {step['error']}"
    return f", answered {step['answered']}" if step["answered"] else ""
