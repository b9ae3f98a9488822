"""What is around servers: flavors, limits and tags; hypervisors, groups and zones live next door."""

from typing import Any

from stackmend.lab.simulated.nova import rows
from stackmend.lab.simulated.store import Row
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply


def _flavor(call: Call, row: Row) -> dict[str, Any]:
    url = f"{call.cloud.url('compute')}/v2.1/flavors/{row['flavorid']}"
    view = {
        "id": row["flavorid"],
        "name": row["name"],
        "ram": row["memory_mb"],
        "disk": row["root_gb"],
        "vcpus": row["vcpus"],
        "swap": 0 if call.at_least(75) else "",
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True,
        "rxtx_factor": 1.0,
        "links": [{"rel": "self", "href": url}],
    }
    if call.at_least(55):
        view["description"] = None
    return {**view, "extra_specs": {}} if call.at_least(61) else view


def _flavors(call: Call) -> Reply:
    found = call.cloud.lab.all("SELECT * FROM flavors ORDER BY id")
    return Reply(200, {"flavors": [_flavor(call, row) for row in found]})


def _brief_flavors(call: Call) -> Reply:
    names = ("id", "name", "links", "description")
    views = [_flavor(call, row) for row in call.cloud.lab.all("SELECT * FROM flavors ORDER BY id")]
    return Reply(200, {"flavors": [{name: view[name] for name in names if name in view} for view in views]})


def _show_flavor(call: Call) -> Reply:
    row = call.cloud.lab.one("SELECT * FROM flavors WHERE flavorid = ?", call.params["flavor"])
    if row is None:
        raise ApiError(404, f"Flavor {call.params['flavor']} could not be found.")
    return Reply(200, {"flavor": _flavor(call, row)})


def _tags(call: Call) -> Reply:
    rows.instance(call)
    return Reply(200, {"tags": []})


def _limits(call: Call) -> Reply:
    used = call.cloud.nova.one(
        "SELECT count(*) AS servers, total(vcpus) AS cores, total(memory_mb) AS ram FROM instances"
        " WHERE deleted = 0 AND project_id = ?",
        call.caller.project_id,
    )
    assert used is not None
    absolute = {
        "maxTotalInstances": -1,
        "maxTotalCores": -1,
        "maxTotalRAMSize": -1,
        "maxServerMeta": 128,
        "maxServerGroups": -1,
        "maxServerGroupMembers": -1,
        "totalInstancesUsed": used["servers"],
        "totalCoresUsed": int(used["cores"]),
        "totalRAMUsed": int(used["ram"]),
    }
    return Reply(200, {"limits": {"rate": [], "absolute": absolute}})


OPERATIONS = (
    Operation("GET", "/limits", _limits),
    Operation("GET", "/servers/{server}/tags", _tags, since=26),
    Operation("GET", "/flavors", _brief_flavors),
    Operation("GET", "/flavors/detail", _flavors),
    Operation("GET", "/flavors/{flavor}", _show_flavor),
)
