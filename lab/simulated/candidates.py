"""placement's allocation candidates: which hosts could take something of a given size."""

from typing import Any

from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Reply

COLUMNS = {"VCPU": "vcpu", "MEMORY_MB": "memory_mb", "DISK_GB": "disk_gb"}
TOTALS = {"VCPU": "vcpus", "MEMORY_MB": "memory_mb", "DISK_GB": "disk_gb"}
RATIOS = {"VCPU": 4.0}


def candidates(call: Call) -> Reply:
    """Every host with room for ``resources``, and what each has and uses."""
    wanted = _wanted(call)
    requests: list[dict[str, Any]] = []
    summaries: dict[str, Any] = {}
    for row in call.cloud.lab.all("SELECT * FROM providers ORDER BY uuid"):
        resources = _summary(call, row)
        if all(resources[name]["capacity"] - resources[name]["used"] >= amount for name, amount in wanted.items()):
            requests.append({"allocations": {row["uuid"]: {"resources": wanted}}})
            summaries[row["uuid"]] = {"resources": resources, **_more(call, row)}
    return Reply(200, {"allocation_requests": requests, "provider_summaries": summaries})


def _wanted(call: Call) -> dict[str, int]:
    asked = call.query.get("resources")
    if not asked:
        raise ApiError(400, "At least one request group (`resources` or `resources{$S}`) is required.")
    wanted = {}
    for item in asked.split(","):
        name, _, amount = item.partition(":")
        if name not in COLUMNS:
            raise ApiError(400, f"Invalid resource class in resources parameter: No such resource class {name}.")
        wanted[name] = int(amount)
    return wanted


def _summary(call: Call, row: Row) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, column in COLUMNS.items():
        used = call.cloud.lab.one(f"SELECT total({column}) AS n FROM allocations WHERE provider = ?", row["uuid"])
        capacity = int(row[TOTALS[name]] * RATIOS.get(name, 1.0))
        found[name] = {"capacity": capacity, "used": int(used["n"]) if used else 0}
    return found


def _more(call: Call, row: Row) -> dict[str, Any]:
    if not call.at_least(29):
        return {}
    return {"traits": ["COMPUTE_NODE", "OWNER_NOVA"], "parent_provider_uuid": None, "root_provider_uuid": row["uuid"]}
