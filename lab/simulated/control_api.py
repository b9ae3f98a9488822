"""/_lab: the switches that tests and the demo have on the cloud; no OpenStack service."""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from stackmend.lab.simulated import damage, files, power_grid, seed, specs
from stackmend.lab.simulated.listeners import App

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud

Verb = Callable[["Cloud", dict[str, Any]], Any]


def control_app(cloud: "Cloud") -> App:
    """The application of the control API: POST /_lab/VERB with a JSON object, answered by JSON.

    A wrong word is 400 with {"error": one sentence}; an unknown id or name is 404 with the same.
    """
    return Router([Route(f"/_lab/{name}", _endpoint(cloud, verb), methods=["POST"]) for name, verb in _VERBS.items()])


def _endpoint(cloud: "Cloud", verb: Verb) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            answer = verb(cloud, json.loads(await request.body() or b"{}"))
            return JSONResponse(await answer if isinstance(answer, Awaitable) else answer)
        except KeyError as error:
            return JSONResponse({"error": str(error.args[0])}, 404)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return endpoint


async def _seed(cloud: "Cloud", given: dict[str, Any]) -> Any:
    planted = seed.plant(cloud, specs.read(given))
    await cloud.ssh.sync()
    files.write_inventory(cloud)
    return planted


def _journal(cloud: "Cloud", given: dict[str, Any]) -> Any:
    return cloud.journal.effects(given.get("kinds", ()), given.get("since", 0))


def _calls(cloud: "Cloud", given: dict[str, Any]) -> Any:
    return cloud.journal.calls(given.get("since", 0))


def _clear_journal(cloud: "Cloud", _given: dict[str, Any]) -> Any:
    cloud.journal.clear()
    return {}


def _snapshot(cloud: "Cloud", given: dict[str, Any]) -> Any:
    cloud.snapshot(given["name"])
    return {}


async def _restore(cloud: "Cloud", given: dict[str, Any]) -> Any:
    cloud.restore(given["name"])
    for name in cloud.listeners.names():
        await cloud.listeners[name].open()
    await cloud.ssh.sync()
    files.write_inventory(cloud)
    return {}


def _fault(cloud: "Cloud", given: dict[str, Any]) -> Any:
    return cloud.faults.add(**given).described()


def _faults(cloud: "Cloud", _given: dict[str, Any]) -> Any:
    return cloud.faults.described()


def _clear_faults(cloud: "Cloud", _given: dict[str, Any]) -> Any:
    cloud.faults.clear()
    return {}


async def _wait_fault(cloud: "Cloud", given: dict[str, Any]) -> Any:
    rule = cloud.faults.get(given["id"])
    try:
        await asyncio.wait_for(rule.reached.wait(), given.get("timeout", 10.0))
    except TimeoutError as error:
        raise ValueError(f"no call reached fault {rule.id} in {given.get('timeout', 10.0)} s") from error
    return rule.described()


def _release(cloud: "Cloud", given: dict[str, Any]) -> Any:
    rule = cloud.faults.get(given["id"])
    rule.lost = bool(given.get("lost", False))
    rule.released.set()
    return {}


def _settings(cloud: "Cloud", given: dict[str, Any]) -> Any:
    cloud.settings.change(**given)
    return dataclasses.asdict(cloud.settings)


def _expire_tokens(cloud: "Cloud", _given: dict[str, Any]) -> Any:
    cloud.identity.expire_all()
    return {}


async def _power_cut(cloud: "Cloud", given: dict[str, Any]) -> Any:
    return await power_grid.cut(cloud, given.get("hosts", ()))


async def _power_on(cloud: "Cloud", given: dict[str, Any]) -> Any:
    return await power_grid.restore(cloud, given.get("hosts", ()), given.get("without", ()))


def _host(cloud: "Cloud", given: dict[str, Any]) -> Any:
    return power_grid.switch_host(cloud, **given)


async def _service(cloud: "Cloud", given: dict[str, Any]) -> Any:
    return await power_grid.switch_service(cloud, **given)


def _state(cloud: "Cloud", _given: dict[str, Any]) -> Any:
    return power_grid.state(cloud)


def _damage(cloud: "Cloud", given: dict[str, Any]) -> Any:
    return damage.harm(cloud, **given)


async def _ssh(cloud: "Cloud", given: dict[str, Any]) -> Any:
    return await cloud.ssh.switch(given.pop("target"), **given)


_VERBS: dict[str, Verb] = {
    "seed": _seed,
    "journal": _journal,
    "calls": _calls,
    "clear-journal": _clear_journal,
    "snapshot": _snapshot,
    "restore": _restore,
    "fault": _fault,
    "faults": _faults,
    "clear-faults": _clear_faults,
    "wait-fault": _wait_fault,
    "release": _release,
    "settings": _settings,
    "expire-tokens": _expire_tokens,
    "power-cut": _power_cut,
    "power-on": _power_on,
    "host": _host,
    "service": _service,
    "state": _state,
    "damage": _damage,
    "ssh": _ssh,
}
