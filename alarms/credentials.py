"""Who may send alarms: a secret, a signature, or a token of keystone's; without one of them nobody."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass

from stackmend.alarms.configuration import Trust, secrets
from stackmend.alarms.keystone import Keystone, KeystoneAway
from stackmend.alarms.refusals import CREDENTIALS, KEYSTONE, REPLAYED, ROLE

TOKEN_HEADER, SIGNATURE, TIMESTAMP, DELIVERY = (
    *("x-auth-token", "x-stackmend-signature"),
    *("x-stackmend-timestamp", "x-stackmend-delivery"),
)
# Seconds by which a signature's clock may be wrong.
SKEW = 300.0
_LONGEST_DELIVERY = 200


class Refused(Exception):
    """A request is refused: the HTTP ``status``, the ``kind`` (alarms.refusals), and a sentence for the sender."""

    def __init__(self, status: int, kind: str, why: str) -> None:
        # It is one line of a log, and may quote what somebody sent.
        super().__init__("".join(sign if sign.isprintable() else " " for sign in why))
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class Signed:
    """A signature that is still to be compared with the body."""

    secrets: tuple[bytes, ...]
    prefix: bytes
    signature: str

    def check(self, body: bytes) -> None:
        """Raise Refused when it is not of this body."""
        if not any(_same(self.signature, _signature(secret, self.prefix + body)) for secret in self.secrets):
            raise Refused(401, CREDENTIALS, "its signature is wrong")


class Guard:
    """Knows the secrets of one source. Raises BadInput when a secret can't be read."""

    def __init__(self, source: str, trust: Trust, keystone: Keystone | None) -> None:
        self._source = source
        self._tokens = secrets(trust.token) if trust.token else ()
        self._signing = secrets(trust.hmac) if trust.hmac else ()
        self._roles = frozenset(trust.keystone)
        self._keystone = keystone if trust.keystone else None

    @property
    def ways(self) -> list[str]:
        """How a sender can prove itself; empty: nobody can."""
        ways = {"token": self._tokens, "hmac": self._signing, "keystone": self._roles}
        return [name for name, known in ways.items() if known]

    def admit(self, headers: Mapping[str, str]) -> Signed | None:
        """Let a request in by its headers alone, or tell what must fit its body. May ask keystone. Raises Refused."""
        if self._signing and SIGNATURE in headers:
            return self._signed(headers)
        if self._keystone and TOKEN_HEADER in headers:
            self._check_roles(self._keystone, headers[TOKEN_HEADER])
        elif not any(_same(given, secret.decode()) for given in _given(headers) for secret in self._tokens):
            told = f"it needs one of: {', '.join(self.ways)}" if self.ways else "no credentials are set up for it"
            raise Refused(401, CREDENTIALS, f"its credentials are missing or wrong: {told}")
        return None

    def _signed(self, headers: Mapping[str, str]) -> Signed:
        timestamp, delivery = headers.get(TIMESTAMP, ""), headers.get(DELIVERY, "")
        if not timestamp.isdecimal() or len(timestamp) > 12 or not delivery:
            raise Refused(401, CREDENTIALS, f"a signature needs {TIMESTAMP} (seconds) and {DELIVERY}")
        if abs(time.time() - int(timestamp)) > SKEW:
            raise Refused(401, REPLAYED, f"it was signed more than {SKEW:g} s ago, or the clocks differ")
        prefix = f"{self._source}.{timestamp}.{delivery}.".encode()
        return Signed(self._signing, prefix, headers[SIGNATURE].removeprefix("sha256="))

    def _check_roles(self, keystone: Keystone, token: str) -> None:
        try:
            roles = keystone.roles(token)
        except KeystoneAway:
            raise Refused(503, KEYSTONE, "keystone can't be asked about its token now") from None
        if roles is None:
            raise Refused(401, CREDENTIALS, "keystone does not know its token")
        if not roles & self._roles:
            raise Refused(403, ROLE, f"its token has none of the roles {', '.join(sorted(self._roles))}")


def delivery(headers: Mapping[str, str]) -> str | None:
    """The id that the sender gave this delivery, if any. Raises Refused."""
    found = headers.get(DELIVERY)
    if found is not None and not 0 < len(found) <= _LONGEST_DELIVERY:
        raise Refused(400, CREDENTIALS, f"{DELIVERY} has 1 to {_LONGEST_DELIVERY} characters")
    return found


def sign(secret: bytes, source: str, timestamp: str, delivery: str, body: bytes) -> str:
    """What X-Stackmend-Signature must say."""
    return "sha256=" + _signature(secret, f"{source}.{timestamp}.{delivery}.".encode() + body)


def _signature(secret: bytes, signed: bytes) -> str:
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode("utf-8", "replace"))


def _given(headers: Mapping[str, str]) -> list[str]:
    """The secrets in Authorization: Bearer SECRET, or Basic, whose password it is."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return [value.strip()]
    if kind.lower() != "basic":
        return []
    try:
        _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return []
    return [password]
