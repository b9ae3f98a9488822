"""The only door to OpenStack's APIs: reads that may be repeated, and effects that may not.

A read is repeated with back-off until it succeeds or patience ends. An effect is repeated only while it
certainly has not happened: the connection was never made, the token had expired (401), or the service
said that it is busy (429, 503). In every other doubt it raises AnswerLost, and a person or a task looks.
"""

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import requests
from keystoneauth1 import exceptions as ksa
from openstack.config.cloud_region import CloudRegion
from openstack.connection import Connection

from stackmend.clients import failures
from stackmend.clients.calls import Answer, ApiCall, CallRecord, new_request_id
from stackmend.clients.limiter import Limiter
from stackmend.clients.patience import patiently
from stackmend.clients.signin import CloudIdentity, SignIn, Timeouts, cloud_region
from stackmend.errors import Refused, Unreachable
from stackmend.pausing import Pause, before_a_look, before_an_effect

__all__ = ["Answer", "ApiCall", "CallRecord", "Cloud", "CloudIdentity", "Timeouts", "new_request_id"]

LOG = logging.getLogger("stackmend.calls")
PAGE = 1000
AT_ONCE = 32
_ID = re.compile(r"[0-9a-f-]{32,36}")

Params = Mapping[str, str | int | list[str]]
OnCall = Callable[[CallRecord], None]
T = TypeVar("T")


class Cloud:
    """One cloud, seen as one user. Many threads may share it.

    ``limits`` bounds the calls in flight per service (32 where nothing is said; fewer while it can't bear them, see
    clients.limiter); ``on_call`` is told of every exchange, in the thread that made it.
    """

    def __init__(
        self,
        region: CloudRegion,
        *,
        timeouts: Timeouts | None = None,
        limits: Mapping[str, int] | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._signin = SignIn(region, self._timeouts)
        self._limits = dict(limits or {})
        self._limiters: dict[str, Limiter] = {}
        self._lock = threading.Lock()
        self._on_call = on_call

    @classmethod
    def connect(
        cls,
        cloud: str | None = None,
        region: str | None = None,
        *,
        timeouts: Timeouts | None = None,
        limits: Mapping[str, int] | None = None,
        on_call: OnCall | None = None,
    ) -> "Cloud":
        """A cloud of clouds.yaml, or of the OS_ variables; the first call signs in.

        Raises BadInput when the name is unknown or no authentication is configured.
        """
        return cls(cloud_region(cloud, region), timeouts=timeouts, limits=limits, on_call=on_call)

    @classmethod
    def from_connection(
        cls,
        connection: Connection,
        *,
        timeouts: Timeouts | None = None,
        limits: Mapping[str, int] | None = None,
        on_call: OnCall | None = None,
    ) -> "Cloud":
        """The cloud that an openstacksdk connection (as the OpenStackClient has it) is signed in to."""
        return cls(connection.config, timeouts=timeouts, limits=limits, on_call=on_call)

    def close(self) -> None:
        """Let go of the pooled connections; a later call opens new ones."""
        self._signin.session.session.close()

    @property
    def identity(self) -> CloudIdentity:
        """Which cloud and which user. Raises Unreachable or Unauthorized when it can't sign in."""
        return self._patiently(self._signin.identity)

    def max_microversion(self, service: str) -> tuple[int, int]:
        """The service's newest microversion; (0, 0) when it has none."""
        return self._patiently(lambda: self._signin.place(service)).newest

    def pick(self, service: str, *wanted: str) -> str:
        """The highest of the wanted microversions that the service has. Raises Refused when it has none."""
        newest = self.max_microversion(service)
        fitting = [version for version in map(_version, wanted) if version <= newest]
        if not fitting:
            raise Refused(
                f"{service} knows microversions up to {newest[0]}.{newest[1]} and this needs "
                f"{min(wanted, key=_version)} at least: use a procedure for that release."
            )
        return "{}.{}".format(*max(fitting))

    def get(self, service: str, path: str, params: Params | None = None, microversion: str | None = None) -> Any:
        """Read one document (JSON, None when empty). Raises Unreachable, Unauthorized or Refused."""
        call = ApiCall(service, "GET", path, None, microversion)
        return self._patiently(lambda: self._exchange(call, f"req-{uuid.uuid4()}", params)).body

    def find(self, service: str, path: str, params: Params | None = None, microversion: str | None = None) -> Any:
        """As ``get``, but None when the service says that there is no such thing (404)."""
        try:
            return self.get(service, path, params, microversion)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def pages(
        self,
        service: str,
        path: str,
        key: str,
        params: Params | None = None,
        microversion: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Every item of a list, however many pages the service cuts it into."""
        wanted: dict[str, Any] = {"limit": PAGE, **(params or {})}
        seen: set[str] = set()
        while True:
            document = self.get(service, path, wanted, microversion)
            yield from document[key]
            link = _next_link(document, key)
            if link is None or not document[key]:
                return
            if link in seen:
                raise Unreachable(f"{service} sends {path} round in circles: page {link} came twice.")
            seen.add(link)
            # Only the query is taken: behind a proxy the link's host is often not the endpoint's.
            wanted = _query(link)

    def send(self, call: ApiCall, request_id: str) -> Answer:
        """Have ONE effect, under our request id; never repeated once it can have happened.

        Raises Refused (nothing happened; ``status`` says why), Unauthorized or Unreachable (nothing
        happened), or AnswerLost (it may have happened). A try that was refused is followed by another only if
        whoever works in this thread still may (stackmend.pausing).
        """
        return self._patiently(lambda: self._exchange(call, request_id, None), before_an_effect)

    def _patiently(self, action: Callable[[], T], pause: Pause = before_a_look) -> T:
        return patiently(action, self._timeouts.patience, pause)

    def _exchange(self, call: ApiCall, request_id: str, params: Params | None) -> Answer:
        url = self._signin.place(call.service).url + call.path
        token = self._signin.headers()
        response = self._wire(call, url, token, request_id, params)
        if response.status_code == 401:
            self._signin.renew(token)
            response = self._wire(call, url, self._signin.headers(), request_id, params)
        if not 200 <= response.status_code < 300:
            raise failures.bad_answer(call, request_id, response, self._signin.who)
        try:
            body = response.json() if response.content.strip() else None
        except ValueError:
            raise failures.unreadable(call, request_id) from None
        return Answer(response.status_code, _their_id(response), body, _date(response))

    def _wire(
        self, call: ApiCall, url: str, token: dict[str, str], request_id: str, params: Params | None
    ) -> requests.Response:
        """One HTTP exchange, reported whatever comes of it."""
        response = None
        with self._limiter(call.service).turn(f"{call.method} {_ID.sub('ID', call.path)}") as turn:
            try:
                response = self._request(call, url, token, request_id, params)
                turn.refused = response.status_code in failures.BUSY
            except ksa.ClientException as error:
                turn.refused = True
                raise failures.without_answer(call, request_id, error) from error
            finally:
                self._report(call, request_id, response, time.monotonic() - turn.began)
        return response

    def _request(
        self, call: ApiCall, url: str, token: dict[str, str], request_id: str, params: Params | None
    ) -> requests.Response:
        # keystoneauth repeats, signs in again and logs on its own unless it is told not to.
        return self._signin.session.request(
            url,
            call.method,
            json=call.body,
            params=params,
            headers={"Accept": "application/json", **token},
            authenticated=False,
            allow_reauth=False,
            raise_exc=False,
            log=False,
            connect_retries=0,
            microversion=call.microversion,
            microversion_service_type=call.service,
            global_request_id=request_id,
            timeout=(self._timeouts.connect, self._timeouts.read),
        )

    def _report(self, call: ApiCall, request_id: str, response: requests.Response | None, seconds: float) -> None:
        status = response.status_code if response is not None else None
        theirs = _their_id(response) if response is not None else ""
        record = CallRecord(call.service, call.method, call.path, status, request_id, theirs, seconds)
        LOG.debug(
            "%s %s %s -> %s in %.3f s (%s, answered %s)",
            *(call.method, call.service, call.path, status, seconds, request_id, theirs or "nothing"),
        )
        if self._on_call is not None:
            self._on_call(record)

    def _limiter(self, service: str) -> Limiter:
        with self._lock:
            if service not in self._limiters:
                self._limiters[service] = Limiter(self._limits.get(service, AT_ONCE))
            return self._limiters[service]


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _their_id(response: requests.Response) -> str:
    headers = response.headers
    return str(headers.get("x-openstack-request-id") or headers.get("x-compute-request-id") or "")


def _date(response: requests.Response) -> datetime:
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _next_link(document: Mapping[str, Any], key: str) -> str | None:
    """The next page's address, in the three places where the services put it."""
    for link in document.get(f"{key}_links") or []:
        if link.get("rel") == "next":
            return str(link["href"])
    links = document.get("links")
    found = document.get("next") or (links.get("next") if isinstance(links, Mapping) else None)
    return str(found) if found else None


def _query(link: str) -> dict[str, Any]:
    """A link's query, with repeated names kept."""
    query: dict[str, Any] = {}
    for name, value in parse_qsl(urlsplit(link).query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    return query
