"""The way of every API call: admission, faults, version, token, policy, the operation, the journal."""

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from stackmend.lab.simulated.faults import Rule
from stackmend.lab.simulated.web import ApiError, Call, Operation, Reply, Service, Versions, answer, new_request_id

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


class Cut(Exception):
    """The connection is to be closed without an answer."""


async def handle(cloud: "Cloud", service: Service, operation: Operation | None, request: Request) -> Response:
    """Answer one request to ``service``; ``operation`` None is a path nobody serves."""
    call = Call(cloud, request, service, await request.body(), new_request_id())
    try:
        async with cloud.admission:
            if cloud.settings.call_delay:
                await asyncio.sleep(cloud.settings.call_delay)
            reply = await _through_faults(call, operation)
    except Cut:
        _journal(call, 0)
        cloud.listeners.abort(request)
        return Response(status_code=503)
    _journal(call, reply.status)
    return Response(reply.content(), reply.status, _headers(call, reply))


async def _through_faults(call: Call, operation: Operation | None) -> Reply:
    request = call.request
    rule = call.cloud.faults.hit(
        call.service.name, request.method, request.url.path, call.raw.decode("utf-8", "replace")
    )
    if rule is None:
        return await _answer(call, operation)
    replaced = await _before(rule, call)
    if replaced is not None:
        return replaced
    reply = await _answer(call, operation)
    return await _after(rule, reply)


async def _before(rule: Rule, call: Call) -> Reply | None:
    if rule.kind in ("refused", "cut-before"):
        raise Cut
    if rule.kind == "slow":
        await asyncio.sleep(rule.seconds)
    if rule.kind == "hang":
        await _pause(rule)
        raise Cut
    if rule.kind == "pause-before-effect":
        await _pause(rule)
    if rule.kind == "status":
        body = rule.answer
        if body is None:
            body = call.service.error_body(rule.status, "The server is out of order.", "", call.request_id)
        return Reply(rule.status, body, rule.headers)
    return None


async def _after(rule: Rule, reply: Reply) -> Reply:
    if rule.kind == "pause-after-effect":
        await _pause(rule)
    if rule.kind == "cut-after":
        raise Cut
    if rule.kind == "malformed":
        content = reply.content()
        return Reply(reply.status, content[: max(1, len(content) // 2)] or b"{", reply.headers)
    return reply


async def _pause(rule: Rule) -> None:
    rule.reached.set()
    await rule.released.wait()
    if rule.lost:
        raise Cut


async def _answer(call: Call, operation: Operation | None) -> Reply:
    try:
        call.version = _version(call)
        if operation is None:
            raise ApiError(404, "The resource could not be found.")
        if not operation.open:
            call.caller = call.cloud.identity.caller(call.request.headers.get("x-auth-token"))
        if operation.since > call.version[1]:
            raise ApiError(404, "The resource could not be found.")
        if operation.policy and not call.caller.admin:
            raise ApiError(403, call.service.forbidden.format(operation.policy))
        return await answer(operation, call)
    except ApiError as error:
        return _refusal(call, error)


def _refusal(call: Call, error: ApiError) -> Reply:
    if error.status == 401 and call.service.name != "identity":
        body = {"error": {"code": 401, "title": "Unauthorized", "message": str(error)}}
    else:
        body = call.service.error_body(error.status, str(error), error.kind, call.request_id)
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = f'Keystone uri="{call.cloud.url("identity")}"'
    return Reply(error.status, body, headers)


def _version(call: Call) -> tuple[int, int]:
    versions = call.service.versions
    if versions is None:
        return (0, 0)
    asked = _asked(call)
    if asked is None:
        return versions.minimum
    if asked == "latest":
        return _newest(call, versions)
    major, _, minor = asked.partition(".")
    if not (major.isdigit() and minor.isdigit()):
        raise ApiError(400, f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum.")
    version = (int(major), int(minor))
    newest = _newest(call, versions)
    if not versions.minimum <= version <= newest:
        low, high = (".".join(map(str, limit)) for limit in (versions.minimum, newest))
        call.version = version
        raise ApiError(406, f"Version {asked} is not supported by the API. Minimum is {low} and maximum is {high}.")
    return version


def _newest(call: Call, versions: Versions) -> tuple[int, int]:
    return (2, call.cloud.settings.compute_minor) if call.service.name == "compute" else versions.maximum


def _asked(call: Call) -> str | None:
    versions = call.service.versions
    assert versions is not None
    for word in call.request.headers.getlist("openstack-api-version"):
        for part in word.split(","):
            name, _, number = part.strip().partition(" ")
            if name == versions.name:
                return number.strip()
    return call.request.headers.get(versions.legacy_header) if versions.legacy_header else None


def _headers(call: Call, reply: Reply) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Date": format_datetime(datetime.now(UTC), usegmt=True),
        "x-openstack-request-id": call.request_id,
    }
    versions = call.service.versions
    if versions is not None:
        number = ".".join(map(str, call.version))
        headers["OpenStack-API-Version"] = f"{versions.name} {number}"
        headers["Vary"] = versions.legacy_header or "OpenStack-API-Version"
        if versions.legacy_header:
            headers[versions.legacy_header] = number
    if call.service.name in ("compute", "volume"):
        headers["x-compute-request-id"] = call.request_id
    return {**headers, **reply.headers}


def _journal(call: Call, status: int) -> None:
    request = call.request
    call.cloud.journal.call(
        service=call.service.name,
        method=request.method,
        path=request.url.path,
        query=request.url.query,
        status=status,
        user=call.caller.user_name,
        **call.origin.ids,
    )
