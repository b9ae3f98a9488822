"""The listener's HTTP side: it checks, stores and returns."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from stackmend.alarms import credentials, openapi
from stackmend.alarms.credentials import Guard, Refused
from stackmend.alarms.ledger import row
from stackmend.alarms.masakari_api import VERSION, VERSIONS, shown
from stackmend.alarms.refusals import KEYSTONE, MALFORMED, OVERSIZE, REPLAYED, SLOW, STORE, UNFIT, Counts
from stackmend.alarms.sources import SOURCES, Source, alarm_id
from stackmend.engine import clock
from stackmend.errors import BadInput, StackmendError

LARGEST = 1 << 20
# Of a body that is too large so much is read (and not kept) for its sender to hear of it.
_MOST_READ = 16 * LARGEST
# Seconds that a body may take to come, keystone to check a token, and the run store to take alarms.
_BODY_SECONDS, _KEYSTONE_SECONDS, _STORE_SECONDS = 10.0, 8.0, 5.0
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    503: "Service Unavailable",
}
Rows = list[dict[str, Any]]
# Stores rows durably; false when all of them were there before. Raises StackmendError.
Keep = Callable[[Rows], Awaitable[bool]]
_Endpoint = Callable[[Request], Awaitable[Response]]


def application(
    guards: Mapping[str, Guard],
    keep: Keep,
    counts: Counts,
    ill: Callable[[], str | None],
    open_alarms: Callable[[], dict[str, int]],
    version: str,
) -> Starlette:
    """The routes. ``ill`` tells what is wrong with the listener, ``open_alarms`` what is still to be done."""
    description = openapi.document(version, {name: guards[name].ways for name in SOURCES})

    async def healthz(_request: Request) -> Response:
        why = ill()
        return _json({"well": why is None, "why": why}, 200 if why is None else 503)

    async def metrics(_request: Request) -> Response:
        try:
            found = await asyncio.to_thread(open_alarms)
        except StackmendError as error:
            return _error(503, str(error))
        return Response(counts.text(found), media_type="text/plain; version=0.0.4")

    posts = [
        Route(path, _Post(source, guards[source.name], keep, counts).answer, methods=["POST"])
        for source in SOURCES.values()
        for path in source.paths
    ]
    told = {"/openapi.json": description, "/": VERSIONS, "/v1": VERSION, "/v1/": VERSION}
    gets = [Route(path, _constant(document), methods=["GET"]) for path, document in told.items()]
    looks = [Route("/healthz", healthz, methods=["GET"]), Route("/metrics", metrics, methods=["GET"])]
    found = Starlette(routes=[*posts, *gets, *looks], exception_handlers={HTTPException: _elsewhere})
    # A monitor that posts to .../ is not sent elsewhere: its body would be lost.
    found.router.redirect_slashes = False
    return found


class _Post:
    """Takes the alarms of one source."""

    def __init__(self, source: Source, guard: Guard, keep: Keep, counts: Counts) -> None:
        self._source, self._guard, self._keep, self._counts = source, guard, keep, counts

    async def answer(self, request: Request) -> Response:
        """202 when they are on disk; else the refusal, counted."""
        began = time.perf_counter()
        try:
            return await self._take(request)
        except Refused as refused:
            self._counts.refused(self._source.name, refused.kind, str(refused))
            return _error(refused.status, str(refused))
        finally:
            self._counts.seconds.labels(self._source.name).observe(time.perf_counter() - began)

    async def _take(self, request: Request) -> Response:
        signed = await self._admitted(request)
        body = await _body(request)
        if signed is not None:
            signed.check(body)
        now = clock.now()
        payload, rows = self._read(request, body, now)
        await self._stored(rows)
        for kept in rows:
            self._counts.received.labels(kept["source"], kept["state"]).inc()
        if self._source.name == "masakari":
            return _json(shown(payload, rows[0]["uuid"], now), 202)
        return _json({"alarms": [kept["uuid"] for kept in rows]}, 202)

    async def _admitted(self, request: Request) -> credentials.Signed | None:
        if credentials.TOKEN_HEADER not in request.headers:
            return self._guard.admit(request.headers)
        try:
            async with asyncio.timeout(_KEYSTONE_SECONDS):
                return await asyncio.to_thread(self._guard.admit, request.headers)
        except TimeoutError:
            raise Refused(503, KEYSTONE, "keystone did not answer about its token in time") from None

    def _read(self, request: Request, body: bytes, now: str) -> tuple[Any, Rows]:
        try:
            payload = json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(400, MALFORMED, "its body is not JSON") from None
        try:
            found = self._source.read(payload, now)
        except BadInput as error:
            raise Refused(400, UNFIT, str(error)) from None
        except RecursionError:
            raise Refused(400, MALFORMED, "its body is nested too deeply") from None
        told = credentials.delivery(request.headers)
        if told is None and self._source.delivery is not None:
            told = self._source.delivery(payload)
        return payload, [row(item, alarm_id(item.source, told, n), now) for n, item in enumerate(found)]

    async def _stored(self, rows: Rows) -> None:
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                fresh = await self._keep(rows)
        except TimeoutError:
            raise Refused(503, STORE, f"the run store did not take it within {_STORE_SECONDS:g} s") from None
        except StackmendError as error:
            raise Refused(503, STORE, str(error)) from None
        if not fresh:
            raise Refused(409, REPLAYED, "this delivery is stored already")


async def _body(request: Request) -> bytes:
    """The request's body, as long as it comes in time and is not too large. Raises Refused."""
    oversize = Refused(413, OVERSIZE, f"its body is larger than {LARGEST} bytes")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > _MOST_READ:
        raise oversize
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > _MOST_READ:
                    raise oversize
                if size <= LARGEST:
                    body += chunk
    except TimeoutError:
        raise Refused(408, SLOW, f"its body took more than {_BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise Refused(408, SLOW, "its body ended in the middle") from None
    if size > LARGEST:
        raise oversize
    return bytes(body)


def _constant(document: Mapping[str, Any]) -> _Endpoint:
    async def answer(_request: Request) -> Response:
        return _json(document)

    return answer


async def _elsewhere(request: Request, error: Exception) -> Response:
    """Nothing is there, or not for that method."""
    assert isinstance(error, HTTPException)
    answer = _error(error.status_code, f"{request.method} {request.url.path} is nothing that is served here")
    answer.headers.update(error.headers or {})
    return answer


def _json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in ASCII alone: what somebody sent may stand in it, and need not be writable in UTF-8."""
    return Response(json.dumps(document), status, headers, "application/json")


def _error(status: int, why: str) -> Response:
    # Of who was refused nothing more is read: the rest of the body might never end.
    headers = {"Connection": "close"} | ({"WWW-Authenticate": 'Bearer realm="stackmend"'} if status == 401 else {})
    return _json({"error": {"code": status, "title": _TITLES[status], "message": why}}, status, headers)
