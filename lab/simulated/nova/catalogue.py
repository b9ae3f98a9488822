"""What is around servers: flavors, groups, aggregates, zones, hypervisors' lists live next door."""

from typing import Any

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


OPERATIONS = (
    Operation("GET", "/flavors", _brief_flavors),
    Operation("GET", "/flavors/detail", _flavors),
    Operation("GET", "/flavors/{flavor}", _show_flavor),
)
