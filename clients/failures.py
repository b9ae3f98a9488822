"""Every way an HTTP exchange with a cloud can fail, as one of our errors with one sentence each.

The question that matters is asked of every failure of an effect: can it have happened?
"""

import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from keystoneauth1 import exceptions as ksa
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from stackmend.clients.calls import ApiCall
from stackmend.clients.patience import Passing
from stackmend.errors import AnswerLost, CloudError, Refused, Unauthorized, Unreachable

BUSY = frozenset({429, 503})
BROKEN = frozenset({500, 502, 503, 504})


def without_answer(call: ApiCall, request_id: str, error: ksa.ClientException) -> Exception:
    """What an exchange without an answer means for this call: Passing, Unreachable or AnswerLost."""
    reason = connection_reason(error)
    if _untrusted(error):
        return Unreachable(untrusted(call.service, error))
    if call.method == "GET" or never_sent(error):
        return Passing(Unreachable(f"{call.text()} got no answer: {reason}."))
    return lost(call, request_id, reason)


def bad_answer(call: ApiCall, request_id: str, response: requests.Response, who: str) -> Exception:
    """What an answer other than 2xx means for this call; ``who`` is the signed-in user, for a person."""
    status, said = response.status_code, sentence(response)
    summary = f"{call.text()} was answered with {status}: {said}"
    if status in BUSY or (call.method == "GET" and status in BROKEN):
        return Passing(Unreachable(summary), retry_after(response))
    if status >= 500 and status != 501:
        return lost(call, request_id, f"{status}: {said}")
    if status == 401:
        return Unauthorized(f"{call.text()} was refused, the token of {who} is not accepted: {said}")
    if status == 403 and "quota" not in said.lower():
        return Unauthorized(
            f"{call.text()} is not allowed for {who}: {said} "
            "Give this user the role that the policy asks for (usually admin)."
        )
    return Refused(f"{call.text()} was refused with {status}: {said}", status=status)


def unreadable(call: ApiCall, request_id: str) -> Exception:
    """What a 2xx answer whose body is no JSON means for this call."""
    if call.method == "GET":
        return Passing(Unreachable(f"{call.text()} was answered with something that is no JSON."))
    return lost(call, request_id, "an answer that is no JSON")


def lost(call: ApiCall, request_id: str, reason: str) -> AnswerLost:
    """An effect whose answer is not known."""
    return AnswerLost(
        f"{call.text()} was sent as {request_id} and its answer is not known ({reason}): "
        "it may have happened, look at the cloud before repeating it."
    )


def sign_in(error: ksa.ClientException, auth_url: str, who: str) -> Exception:
    """What a failure to get a token means: nothing of ours has been sent yet."""
    if isinstance(error, ksa.SSLError):
        return Unreachable(untrusted("identity", error))
    if isinstance(error, ksa.Unauthorized):
        return Unauthorized(
            f"identity at {auth_url} does not accept the credentials of {who}: check user, password, "
            "domain and project in clouds.yaml or the OS_ variables."
        )
    if isinstance(error, ksa.HTTPClientError) and error.http_status not in BUSY:
        return Unreachable(f"identity at {auth_url} refused to sign {who} in: {connection_reason(error)}.")
    if isinstance(error, ksa.HttpError | ksa.ConnectionError | ksa.DiscoveryFailure):
        reason = connection_reason(error)
        return Passing(Unreachable(f"identity at {auth_url} could not sign {who} in: {reason}."))
    return Unauthorized(f"identity at {auth_url} gave {who} no token: {error}")


def no_endpoint(service: str, cloud: str, region: str) -> CloudError:
    """The catalogue does not know this service."""
    where = f"cloud {cloud}, region {region}" if region else f"cloud {cloud}"
    return Unreachable(
        f"The catalogue of {where} has no {service} endpoint for this user: "
        "check the region and interface in clouds.yaml, or whether the service is installed."
    )


def undiscovered(service: str, url: str) -> Passing:
    """The service's version document can't be read, so no path or microversion is known."""
    return Passing(Unreachable(f"{service} at {url} does not show its versions: is the service up?"))


def never_sent(error: BaseException) -> bool:
    """True when the connection was never made, so the service can't have seen the request."""
    return any(isinstance(cause, NewConnectionError | ConnectTimeoutError) for cause in causes(error))


def untrusted(service: str, error: ksa.ClientException) -> str:
    """The sentence for a TLS failure."""
    return f"The TLS connection to {service} failed ({_short(str(error))}): set cacert in clouds.yaml."


def connection_reason(error: BaseException) -> str:
    """Why there is no answer, in a few words, without addresses of objects."""
    if isinstance(error, ksa.HttpError):
        said = sentence(error.response) if error.response is not None else str(error.message)
        return f"{error.http_status}, {said.rstrip('.')}"
    for cause in causes(error):
        if isinstance(cause, NewConnectionError):
            return _short(str(cause))
        if isinstance(cause, ConnectTimeoutError):
            return "connecting timed out"
        if isinstance(cause, requests.ReadTimeout):
            return "no answer within the read time-out"
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
            return f"the connection was cut, {_short(str(cause))}"
    return _short(str(error))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def retry_after(response: requests.Response) -> float | None:
    """Seconds that the service asked us to wait, from its Retry-After header (seconds or a date)."""
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        then = parsedate_to_datetime(value)
        now = parsedate_to_datetime(response.headers["Date"])
    except (ValueError, TypeError, KeyError):
        return None
    return max(0.0, (then - now).total_seconds())


def sentence(response: requests.Response) -> str:
    """The service's own words in an error answer, as one short sentence."""
    try:
        said = _message(response.json())
    except ValueError:
        said = re.sub(r"<(title|style).*?</\1>|<[^>]+>", " ", response.text, flags=re.DOTALL)
    text = _short(said or response.reason or "no explanation")
    return text if text.endswith(".") else f"{text}."


def _message(data: Any) -> str:
    """The first ``message``, ``detail`` or ``title`` in the shapes that the services use."""
    if isinstance(data, list):
        return _message(data[0]) if data else ""
    if not isinstance(data, Mapping):
        return ""
    for word in ("message", "detail", "title"):
        if isinstance(data.get(word), str):
            return str(data[word])
    return next((found for item in data.values() if (found := _message(item))), "")


def _untrusted(error: ksa.ClientException) -> bool:
    return isinstance(error, ksa.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)


def _short(text: str) -> str:
    plain = re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>:?\s*", "", re.sub(r"//[^/@\s]+@", "//", text))
    words = " ".join(plain.split())
    return words if len(words) <= 400 else f"{words[:400]}..."
