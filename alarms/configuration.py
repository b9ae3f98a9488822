"""The listener's file: where it listens, whom it trusts, and its rules. Every key of it is known."""

import os
import pathlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import yaml

from stackmend import settings
from stackmend.alarms import rules
from stackmend.alarms.rules import Rule
from stackmend.errors import BadInput

SOURCES = ("aodh", "alertmanager", "zaqar", "pacemaker", "masakari")
_PLACES = ("~/.config/stackmend/alarms.yaml", "/etc/stackmend/alarms.yaml")
_SHORTEST_SECRET = 16


@dataclass(frozen=True)
class Trust:
    """How one source proves itself: by any of these that is set.

    ``token``, ``hmac``: a file with a secret a line, or $NAME of the environment; ``keystone``: roles, any of which a
    token must have.
    """

    token: str = ""
    hmac: str = ""
    keystone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Configuration:
    """What the file may say. ``keystone``: an oslo.config file with [keystone_authtoken]; ``keep``: days."""

    listen: str = "127.0.0.1:8990"
    certificate: str = ""
    key: str = ""
    keystone: str = ""
    keep: float = 90.0
    sources: Mapping[str, Any] = field(default_factory=dict)
    rules: list[Any] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen at."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def load(path: str | None) -> Configuration:
    """The file at ``path``, in $STACKMEND_ALARMS, or in the first usual place. Raises BadInput, naming the place."""
    named = path or os.environ.get("STACKMEND_ALARMS")
    found = named or next((place for place in _PLACES if pathlib.Path(place).expanduser().is_file()), None)
    if found is None:
        raise BadInput(f"there is no file of rules: write {_PLACES[-1]}, or name one with --rules")
    file = pathlib.Path(found).expanduser()
    return parsed(_read(file), f"the file of rules {file}")


def parsed(data: Mapping[str, Any], where: str) -> Configuration:
    """What ``data`` says, which came from ``where``. Raises BadInput."""
    if not isinstance(data.get("rules", []), list):
        raise BadInput(f"{where} must hold its rules as a list: each begins with `- name: `")
    settings.check(where, data, Configuration())
    sources = {}
    for name, given in data.get("sources", {}).items():
        if name not in SOURCES:
            raise BadInput(f"{where} trusts {name}, which is no source: there are {', '.join(SOURCES)}")
        sources[name] = _made(Trust, given, f"{where}, sources.{name},")
    numbered = enumerate(data.get("rules", []), start=1)
    found = Configuration(**{**data, "sources": sources, "rules": [_rule(given, n, where) for n, given in numbered]})
    _check(found, where)
    return found


def secrets(named: str) -> tuple[bytes, ...]:
    """The secrets in a file (one a line), or the one in $NAME. Raises BadInput: missing, short, readable by all."""
    if not named.startswith(("/", "~", "./", "$")):
        # It may be the secret itself: it is not shown.
        raise BadInput("a source's token or hmac is neither the path of a file (/..., ~/..., ./...) nor $NAME")
    told = os.environ.get(named[1:], "") if named[0] == "$" else _secret_file(pathlib.Path(named).expanduser())
    found = tuple(line.strip().encode() for line in told.splitlines() if line.strip())
    if not found or any(len(secret) < _SHORTEST_SECRET for secret in found):
        raise BadInput(
            f"{named} holds no secret of {_SHORTEST_SECRET} characters or more: `openssl rand -hex 32` makes one"
        )
    return found


def _secret_file(file: pathlib.Path) -> str:
    try:
        if file.stat().st_mode & stat.S_IROTH:
            raise BadInput(f"the secret in {file} can be read by everybody: chmod 640 it")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise BadInput(f"the secret in {file} can't be read: {why}") from None


def _read(file: pathlib.Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise BadInput(f"the file of rules {file} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise BadInput(f"the file of rules {file} is not YAML{f', line {mark.line + 1}' if mark else ''}") from None
    if not isinstance(data, dict):
        raise BadInput(f"the file of rules {file} must hold names and values, such as `rules:`")
    return data


def _rule(given: Any, number: int, where: str) -> Rule:
    name = given.get("name") if isinstance(given, dict) else None
    place = f"{where}, rule {number}{f' ({name})' if name else ''},"
    rule: Rule = _made(Rule, given, place)
    if not rule.name:
        raise BadInput(f"{place} has no name")
    if unknown := [source for source in rule.source if source not in SOURCES]:
        raise BadInput(f"{place} is for {unknown[0]}, which is no source: there are {', '.join(SOURCES)}")
    rules.check(rule, place)
    return rule


def _made(kind: type[Any], given: Any, where: str) -> Any:
    if not isinstance(given, dict):
        raise BadInput(f"{where} holds no names and values")
    settings.check(where, given, kind())
    lists = {item.name for item in fields(kind) if isinstance(getattr(kind(), item.name), tuple)}
    listed = {name: value if isinstance(value, list) else [value] for name, value in given.items() if name in lists}
    return kind(**{**given, **{name: tuple(value) for name, value in listed.items()}})


def _check(found: Configuration, where: str) -> None:
    host, _, port = found.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise BadInput(f"{where} listens at {found.listen}, which is no ADDRESS:PORT")
    if bool(found.certificate) != bool(found.key):
        raise BadInput(f"{where} has a certificate or a key, and not both")
    if not found.keystone and any(trust.keystone for trust in found.sources.values()):
        raise BadInput(f"{where} trusts keystone's tokens, and names no file with [keystone_authtoken]: keystone: FILE")
    names = [rule.name for rule in found.rules]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"{where} has two rules named {twice}")
