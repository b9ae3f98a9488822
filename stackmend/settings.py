"""Settings: one YAML file, every key of it known; credentials stay in clouds.yaml and the services' files."""

import difflib
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from stackmend.errors import BadInput

__all__ = ["Settings", "check", "load", "replace", "state_directory"]
_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", tuple: "list", dict: "mapping"}
# Seconds: a week. Nothing is waited for longer, and the clocks of threads and sockets have an end.
LONGEST = 7 * 24 * 3600.0
_PLACES = ("~/.config/stackmend/stackmend.yaml", "/etc/stackmend/stackmend.yaml")


@dataclass(frozen=True)
class Settings:
    """What the settings file may say.

    ``databases``: nova, cinder, neutron -> a database URL, or the path of that service's own .conf.
    ``inventory``: the path of the hosts' file, see clients.inventory. ``mistral_projects``: the ids of the projects
    whose workflows may use the actions of workbooks.actions.
    ``ssh``: see clients.ssh.SshSettings. ``board``: where workers share lanes, see engine.board. ``lanes``,
    ``per_host``: how many at once; ``claimed``: how many of a board's a worker takes. ``calls``: calls in flight per
    service. Seconds: ``patience`` for repeating a call where that is safe, ``poll_interval``, ``lease`` of a run,
    ``claim`` of a lane, and ``settle``, after which a call whose answer was lost can no longer reach its service.
    """

    store: str = ""
    inventory: str = ""
    databases: Mapping[str, str] = field(default_factory=dict)
    mistral_projects: tuple[str, ...] = ()
    ssh: Mapping[str, Any] = field(default_factory=dict)
    board: Mapping[str, Any] = field(default_factory=dict)
    lanes: int = 1000
    claimed: int = 64
    per_host: int = 8
    calls: int = 32
    patience: float = 60.0
    poll_interval: float = 1.0
    lease: float = 30.0
    claim: float = 30.0
    settle: float = 10.0

    @property
    def store_url(self) -> str:
        """The run store: as set, else a file in the user's state directory."""
        return self.store or f"sqlite:///{state_directory() / 'runs.sqlite'}"


def state_directory() -> pathlib.Path:
    """Where this user's runs and captures are kept."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return pathlib.Path(base).expanduser() / "stackmend"


def load(path: str | None) -> Settings:
    """The settings in ``path``, in $STACKMEND_CONFIG, or in the first usual place that has any.

    $STACKMEND_STORE stands above the file. Raises BadInput when the file is unreadable or says something unknown.
    """
    named = path or os.environ.get("STACKMEND_CONFIG")
    found = [named] if named else [place for place in _PLACES if pathlib.Path(place).expanduser().is_file()]
    data = _read(pathlib.Path(found[0]).expanduser()) if found else {}
    if store := os.environ.get("STACKMEND_STORE"):
        data["store"] = store
    return Settings(**data)


def _read(path: pathlib.Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise BadInput(f"the settings file {path} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        raise BadInput(f"the settings file {path} is not YAML{f', line {where.line + 1}' if where else ''}") from None
    if not isinstance(data, dict):
        raise BadInput(f"the settings file {path} must hold names and values, such as `lanes: 32`")
    check(f"the settings file {path}", data, Settings())
    for name, where in data.get("databases", {}).items():
        if not isinstance(where, str):
            raise BadInput(f"the settings file {path} gives databases.{name} no URL and no path of a .conf file")
    return data


def check(where: str, given: Mapping[str, Any], usual: Any) -> None:
    """Raise BadInput naming what is wrong in ``given``, where ``usual`` (a dataclass) has every name and kind."""
    kinds = {item.name: type(getattr(usual, item.name)) for item in fields(usual)}
    for name, value in given.items():
        if name not in kinds:
            near = difflib.get_close_matches(str(name), kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(kinds)}"
            raise BadInput(f"{where} says {name}, which is no setting; {hint}")
        kind = kinds[name]
        fitting: Any = {float: (int, float), tuple: (list, str)}.get(kind, kind)
        if not isinstance(value, fitting) or (isinstance(value, bool) and kind is not bool):
            raise BadInput(f"{where} gives {name} a value of the wrong kind: {value!r} is no {_WORDS[kind]}")
        if kind is tuple and not all(isinstance(item, str) for item in value):
            raise BadInput(f"{where} gives {name} a list of the wrong kind: it must hold texts")
        if kind in (int, float) and not 0 < value <= LONGEST:
            raise BadInput(f"{where} gives {name} {value}: it must be more than 0, and at most {LONGEST:.0f}")
