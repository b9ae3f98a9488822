"""The board on which lanes wait for a worker: one of TaskFlow's own jobboards (Redis, etcd, ZooKeeper)."""

import contextlib
import difflib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from taskflow.exceptions import NotFound, UnclaimableJob
from taskflow.jobs import backends
from taskflow.jobs.base import JobBoard

from stackmend.errors import BadInput, StackmendError, StoreError

# What each kind takes, by TaskFlow's own names; *_file: the secret itself stands in that file.
_REDIS = (
    *("host", "port", "db", "username", "password_file", "namespace", "socket_timeout", "socket_connect_timeout"),
    *("ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "health_check_interval"),
    *("sentinel", "sentinel_fallbacks", "sentinel_username", "sentinel_password_file"),
)
_ETCD = ("host", "port", "protocol", "ca_cert", "cert_key", "cert_cert", "timeout", "api_path", "path")
_ZOOKEEPER = ("hosts", "path", "timeout", "use_ssl", "ca", "certfile", "keyfile", "verify_certs")
KINDS = {"redis": _REDIS, "etcd": _ETCD, "zookeeper": _ZOOKEEPER}
_NEEDS = {"redis": "redis", "etcd": "etcd3gw", "zookeeper": "kazoo"}
# Seconds: a board that does not answer must not hold those who keep their claims alive.
_PATIENCE: dict[str, dict[str, Any]] = {
    "redis": {"socket_timeout": 5.0, "socket_connect_timeout": 5.0, "health_check_interval": 10},
    "etcd": {"timeout": 5},
    # Its servers tell their version to those only whom their configuration names for it.
    "zookeeper": {"check_compatible": False},
}
# As TaskFlow writes down which option its client takes, by which name, and made into what.
_AUTHORITY, _RETRY = ("ca", None, None), ("retry", None)
# The password of the environment, for those who keep it nowhere else.
PASSWORD = "STACKMEND_BOARD_PASSWORD"


class BoardAway(StoreError):
    """The board does not answer: what is on it waits, and what was claimed is kept only until it expires."""


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Turn whatever a board's client raises into BoardAway; a job that is gone or another's is no failure of its."""
    try:
        yield
    except (StackmendError, NotFound, UnclaimableJob):
        raise
    except Exception as error:
        # Each kind's client has errors of its own, and they all mean this.
        raise BoardAway(f"the board does not answer: {_reason(error)}") from error


def opened(settings: Mapping[str, Any]) -> JobBoard:
    """The jobboard of the setting ``board``, connected.

    Raises BadInput for what is wrong in the setting, BoardAway when the board does not answer.
    """
    kind = settings.get("kind")
    if kind not in KINDS:
        raise BadInput(f"the setting board needs its kind, one of {', '.join(KINDS)}, and not {kind!r}")
    conf = _conf(kind, settings)
    try:
        if kind in _HAND_ON:
            _HAND_ON[kind](conf)
        board: JobBoard = backends.fetch("stackmend", conf)
        board.connect()
    except ImportError:
        raise BadInput(
            f"the setting board says {kind}, whose client is not installed: pip install {_NEEDS[kind]}"
        ) from None
    except (ValueError, TypeError) as error:
        raise BadInput(f"the setting board does not fit {kind}: {error}") from None
    except Exception as error:
        raise BoardAway(f"the board at {where(settings)} does not answer: {_reason(error)}") from error
    return board


def _authority(_conf: dict[str, Any]) -> None:
    """TaskFlow tells of the option ``ca``, and does not hand it on to kazoo."""
    from taskflow.utils import kazoo_utils

    if _AUTHORITY not in kazoo_utils.CONF_TRANSFERS:
        kazoo_utils.CONF_TRANSFERS += (_AUTHORITY,)


def _one_more_try(conf: dict[str, Any]) -> None:
    """By itself Redis's client tries each command ten times more, for minutes: nobody would hear that it is away."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry
    from taskflow.jobs.backends.impl_redis import RedisJobBoard

    if _RETRY not in RedisJobBoard.CLIENT_CONF_TRANSFERS:
        RedisJobBoard.CLIENT_CONF_TRANSFERS += (_RETRY,)
    conf["retry"] = Retry(NoBackoff(), 1)


# What TaskFlow takes for a kind and does not give to its client, unless it is told to.
_HAND_ON: dict[str, Callable[[dict[str, Any]], None]] = {"zookeeper": _authority, "redis": _one_more_try}


def where(settings: Mapping[str, Any]) -> str:
    """The board's address, for messages."""
    return str(settings.get("hosts") or f"{settings.get('host', 'localhost')}:{settings.get('port', '')}".rstrip(":"))


def _conf(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """TaskFlow's configuration of the board."""
    given = {name: value for name, value in settings.items() if name != "kind"}
    for name in given:
        if name not in KINDS[kind]:
            near = difflib.get_close_matches(name, KINDS[kind], n=1)
            hint = f"did you mean {near[0]}?" if near else f"{kind} takes {', '.join(KINDS[kind])}"
            raise BadInput(f"the setting board says {name}, which is no option of {kind}; {hint}")
    conf: dict[str, Any] = {"board": kind, **_PATIENCE[kind], **given}
    password = _secret(conf.pop("password_file", None)) or os.environ.get(PASSWORD)
    if kind == "redis" and password:
        conf["password"] = password
    of_sentinels = {"username": conf.pop("sentinel_username", None)}
    of_sentinels["password"] = _secret(conf.pop("sentinel_password_file", None))
    if of_sentinels := {name: value for name, value in of_sentinels.items() if value}:
        conf["sentinel_kwargs"] = {**of_sentinels, **{name: conf[name] for name in conf if name.startswith("ssl")}}
    return conf


def _secret(path: Any) -> str | None:
    if path is None:
        return None
    try:
        return pathlib.Path(str(path)).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise BadInput(f"the board's password file {path} can't be read: {why}") from None


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0] if str(error) else type(error).__name__
