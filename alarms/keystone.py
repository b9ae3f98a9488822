"""Tokens of keystone's, checked by keystonemiddleware."""

import configparser
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from stackmend.errors import BadInput

with warnings.catch_warnings():
    # Its imports of oslo's libraries warn of what nothing here uses.
    warnings.simplefilter("ignore")
    import webob
    from keystonemiddleware import auth_token

_CACHE = "stackmend.tokens"
# Tokens that are remembered at one time.
_MOST_TOKENS = 1000
_SECONDS = 5.0


class KeystoneAway(Exception):
    """Keystone did not answer."""


class Keystone:
    """Keystone, as [keystone_authtoken] in an oslo.config file names it. Raises BadInput for an unusable file."""

    def __init__(self, file: str) -> None:
        told = {"oslo_config_project": "stackmend", "oslo_config_file": file, "cache": _CACHE}
        limits = {"http_connect_timeout": _SECONDS, "http_request_max_retries": 1}
        self._cache = _Cache()
        _check_section(file)
        try:
            self._protocol = auth_token.AuthProtocol(_roles_of, told | limits)
        except Exception as error:  # noqa: BLE001 - of four libraries; each tells what is wrong with the file
            why = " ".join(str(error).split()) or type(error).__name__
            raise BadInput(f"[keystone_authtoken] in {file} can't be used: {why}") from None

    def roles(self, token: str) -> frozenset[str] | None:
        """The roles of a token; None when it is none. Blocks for as long as keystone does. Raises KeystoneAway."""
        request = webob.Request.blank("/", environ={_CACHE: self._cache}, headers={"X-Auth-Token": token})
        answer = request.get_response(self._protocol)
        if answer.status_int == 200:
            return frozenset(filter(None, answer.text.split(",")))
        if answer.status_int == 401:
            return None
        raise KeystoneAway


def _check_section(file: str) -> None:
    """Raise BadInput where nothing says how keystone is asked: the middleware would find out with the first token."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        if parser.read(file, encoding="utf-8") and parser.has_section("keystone_authtoken"):
            return
    except (configparser.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is no file of an OpenStack service: {' '.join(str(error).split())}") from None
    raise BadInput(f"{file} can't be read, or has no section [keystone_authtoken]")


class _Cache:
    """What keystonemiddleware remembers of tokens, in the way it asks for it: as memcached would."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> Any:
        """What is kept under ``key``, or None."""
        until, value = self._kept.get(key, (0.0, None))
        return value if until > time.monotonic() else None

    def set(self, key: str, value: Any, time: float = 0) -> None:
        """Keep ``value`` for ``time`` seconds."""
        with self._lock:
            if len(self._kept) >= _MOST_TOKENS:
                self._kept.clear()
            self._kept[key] = (_now() + time, value)


def _now() -> float:
    return time.monotonic()


def _roles_of(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The application behind keystonemiddleware: it answers with the roles that came through."""
    start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [environ.get("HTTP_X_ROLES", "").encode()]
