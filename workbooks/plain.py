"""What a step's call is in Mistral's own words: an action of mistral-extra, how one sees that it is done, and its undo.

mistral-extra signs in as whoever started the workflow, and speaks each service's newest microversion.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Act:
    """One action with its input."""

    action: str
    input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plain:
    """A step that Mistral can do.

    ``look`` asks how things are, ``done`` (YAQL, of its result) says whether the effect is there. ``first``: it is
    looked before the act too, which is left out where it is done. ``undo``: takes it back. One without an ``act``
    only looks until it is done.
    """

    act: Act | None
    look: Act
    done: str
    first: bool = True
    undo: Act | None = None


@dataclass(frozen=True)
class _Call:
    """A call of a plan, taken apart: the ids in its path, what it asks for in its body, and the lane's facts."""

    id: str
    other: str
    asked: Any
    body: Mapping[str, Any]
    facts: Facts


def plain(effect: Mapping[str, Any], facts: Facts) -> Plain | None:
    """The step whose one effect is this, in a lane with these facts; None where Mistral can't do it."""
    if "path" not in effect:
        return None
    body = effect.get("body") or {}
    for name, (service, method, path, make) in _CALLS.items():
        found = re.fullmatch(path, effect["path"])
        if found and (effect["service"], effect["method"]) == (service, method) and (not name or name in body):
            ids = [*found.groups(), ""]
            return make(_Call(ids[0], ids[1], body.get(name), body, facts))
    return None


def at_rest(server: str, vm_state: str) -> Plain:
    """No effect, but a look: a server that is at rest in a state."""
    look = Act("nova.servers_get", {"server": server})
    return Plain(None, look, _rest(f"task().result.get('OS-EXT-STS:vm_state') = {vm_state}"))


def _server(call: _Call, verb: str, done: str, first: bool = True, undo: str = "", **given: Any) -> Plain:
    found, look = {"server": call.id}, Act("nova.servers_get", {"server": call.id})
    back = Act(f"nova.servers_{undo}", found) if undo else None
    return Plain(Act(f"nova.servers_{verb}", {**found, **given}), look, _rest(done), first, back)


def _rest(more: str) -> str:
    return f"task().result.get('OS-EXT-STS:task_state') = null and {more}"


def _status(*states: str) -> str:
    return f"task().result.status in [{', '.join(states)}]"


def _away(call: _Call) -> str:
    source = call.facts["move"]["source"] if "move" in call.facts else call.facts["host"]
    return f"task().result.get('OS-EXT-SRV-ATTR:host') != '{source}'"


def _service(call: _Call, act: Act, done: str, undo: Act | None) -> Plain:
    look = Act("nova.services_list", {"binary": "nova-compute"})
    return Plain(act, look, f"task().result.where($.id = '{call.id}' and {done}).any()", undo=undo)


def _switched(call: _Call) -> Plain:
    reason = call.body.get("disabled_reason") or "stackmend"
    disable = Act("nova.services_disable_log_reason", {"service_uuid": call.id, "reason": reason})
    enable = Act("nova.services_enable", {"service_uuid": call.id})
    if call.asked == "enabled":
        return _service(call, enable, "$.status = enabled", disable)
    return _service(call, disable, "$.status = disabled", enable)


def _forced(call: _Call) -> Plain:
    def force(down: bool) -> Act:
        return Act("nova.services_force_down", {"service_uuid": call.id, "force_down": down})

    done = f"$.forced_down = {str(call.asked).lower()}"
    return _service(call, force(call.asked), done, force(not call.asked))


def _attached(call: _Call, there: bool) -> Plain:
    volume = call.asked["volumeId"] if there else call.other
    on = f"task().result.attachments.where($.server_id = '{call.id}').any()"
    pair = {"server_id": call.id, "volume_id": volume}
    detach = Act("nova.volumes_delete_server_volume", pair)
    look = Act("cinder.volumes_get", {"volume_id": volume})
    if not there:
        return Plain(detach, look, f"not {on} and task().result.status = available")
    more = {name: call.asked[name] for name in ("device", "tag", "delete_on_termination") if call.asked.get(name)}
    attach = Act("nova.volumes_create_server_volume", {**pair, **more})
    return Plain(attach, look, f"{on} and task().result.status = 'in-use'", undo=detach)


def _reset(call: _Call) -> Plain:
    state, attached = call.asked["status"], call.asked["attach_status"]
    act = Act("cinder.volumes_reset_state", {"volume": call.id, "state": state, "attach_status": attached})
    return Plain(act, Act("cinder.volumes_get", {"volume_id": call.id}), f"task().result.status = '{state}'")


def _migrated(call: _Call) -> Plain:
    given = {"host": call.asked["host"]} if call.asked else {}
    return _server(call, "migrate", f"{_away(call)} and {_status('VERIFY_RESIZE', 'ACTIVE', 'SHUTOFF')}", **given)


def _lively(call: _Call) -> Plain:
    given = {"host": call.asked["host"], "block_migration": call.asked["block_migration"]}
    return _server(call, "live_migrate", _away(call), **given)


def _evacuated(call: _Call) -> Plain:
    return _server(call, "evacuate", _away(call), **({"host": call.asked["host"]} if call.asked.get("host") else {}))


_ACTION, _SERVICES, _ATTACH = (
    r"/servers/([^/]+)/action",
    r"/os-services/([^/]+)",
    r"/servers/([^/]+)/os-volume_attachments",
)
# By what the body holds.
_CALLS: dict[str, tuple[str, str, str, Callable[[_Call], Plain]]] = {
    "os-start": ("compute", "POST", _ACTION, lambda call: _server(call, "start", _status("ACTIVE"), undo="stop")),
    "os-stop": ("compute", "POST", _ACTION, lambda call: _server(call, "stop", _status("SHUTOFF"), undo="start")),
    "reboot": (
        *("compute", "POST", _ACTION),
        lambda call: _server(call, "reboot", _status("ACTIVE"), first=False, reboot_type=call.asked["type"]),
    ),
    "evacuate": ("compute", "POST", _ACTION, _evacuated),
    "os-migrateLive": ("compute", "POST", _ACTION, _lively),
    "migrate": ("compute", "POST", _ACTION, _migrated),
    "confirmResize": (
        *("compute", "POST", _ACTION),
        lambda call: _server(call, "confirm_resize", _status("ACTIVE", "SHUTOFF")),
    ),
    "os-resetState": (
        *("compute", "POST", _ACTION),
        lambda call: _server(call, "reset_state", _status("ACTIVE", "SHUTOFF"), state=call.asked["state"]),
    ),
    "status": ("compute", "PUT", _SERVICES, _switched),
    "forced_down": ("compute", "PUT", _SERVICES, _forced),
    "volumeAttachment": ("compute", "POST", _ATTACH, lambda call: _attached(call, there=True)),
    "": ("compute", "DELETE", rf"{_ATTACH}/([^/]+)", lambda call: _attached(call, there=False)),
    "os-reset_status": ("block-storage", "POST", r"/volumes/([^/]+)/action", _reset),
}
