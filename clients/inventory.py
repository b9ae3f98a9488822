"""The inventory: what OpenStack does not know of its hosts. Address, fence agent, how nova-compute is run.

    defaults:
      fence: {agent: fence_redfish, options: {username: admin, password_file: /etc/stackmend/bmc}}
    hosts:
      c01.example.com:
        address: 10.0.0.11
        user: operator
        fence: {options: {ip: 10.1.0.11, systems_uri: /redfish/v1/Systems/1}}
        compute: {unit: openstack-nova-compute}
      c02.example.com:
        compute: {container: nova_compute, runtime: podman}

``defaults`` stands under every host. A password is never written here: ``password_file`` names the file
that holds it, or ``password_env`` the environment variable.
"""

import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import yaml

from stackmend.errors import BadInput

_SECRET = "password"


@dataclass(frozen=True)
class FenceAgent:
    """A program that speaks the fence agents' protocol, and its options as its manual names them."""

    agent: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ComputeUnit:
    """How nova-compute is run on a host: a systemd unit, or a container of ``runtime``.

    ``restart``: the policy that the container is given when it is started. ``log``: its log file; empty where
    it logs to the journal, or to the container's own log.
    """

    unit: str = "nova-compute"
    container: str = ""
    runtime: str = "docker"
    restart: str = "unless-stopped"
    log: str = ""


@dataclass(frozen=True)
class Host:
    """One host. ``address``: where SSH reaches it; its own name where none is given.

    ``user`` and ``port``: its login, where the settings of SSH say another; 0 is theirs.
    """

    name: str
    address: str = ""
    user: str = ""
    port: int = 0
    fence: FenceAgent = field(default_factory=FenceAgent)
    compute: ComputeUnit = field(default_factory=ComputeUnit)


class Inventory:
    """The hosts of one inventory file; a host that is not in it has what ``defaults`` say."""

    def __init__(self, data: Mapping[str, Any] | None = None, where: str = "the inventory") -> None:
        data = data or {}
        self._where = where
        _known(where, data, ("defaults", "hosts"))
        self._defaults = _mapping(where, "defaults", data.get("defaults"))
        hosts = _mapping(where, "hosts", data.get("hosts"))
        self._hosts = {str(name): _mapping(where, str(name), given) for name, given in hosts.items()}
        for name in self._hosts:
            self.host(name)

    @classmethod
    def load(cls, path: str) -> "Inventory":
        """The inventory in a file; an empty one for no path. Raises BadInput."""
        if not path:
            return cls()
        try:
            data = yaml.safe_load(pathlib.Path(path).expanduser().read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"the inventory {path} can't be read: {error.strerror}") from None
        except (yaml.YAMLError, ValueError, RecursionError):
            raise BadInput(f"the inventory {path} is not YAML") from None
        return cls(_mapping(f"the inventory {path}", "its top", data), f"the inventory {path}")

    def host(self, name: str) -> Host:
        """What is known of a host. Raises BadInput for what the file says wrongly of it."""
        given = self._hosts.get(name, {})
        where = f"{self._where}, host {name},"
        merged = {**self._defaults, **given}
        _known(where, merged, ("address", "user", "port", "fence", "compute"))
        fence = {**self._part(where, "fence", self._defaults), **self._part(where, "fence", given)}
        options = {
            **_mapping(where, "options", self._part(where, "fence", self._defaults).get("options")),
            **_mapping(where, "options", self._part(where, "fence", given).get("options")),
        }
        _known(where, fence, ("agent", "options"))
        if _SECRET in options:
            raise BadInput(f"{where} holds a password itself: name a password_file or a password_env instead")
        compute = {**self._part(where, "compute", self._defaults), **self._part(where, "compute", given)}
        _known(where, compute, tuple(item.name for item in fields(ComputeUnit)))
        return Host(
            name,
            address=str(merged.get("address") or name),
            user=str(merged.get("user") or ""),
            port=_port(where, merged.get("port")),
            fence=FenceAgent(str(fence.get("agent") or ""), options),
            compute=ComputeUnit(**{key: str(value) for key, value in compute.items() if value is not None}),
        )

    @staticmethod
    def _part(where: str, key: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return _mapping(where, key, given.get(key))


def secret_of(options: Mapping[str, Any]) -> str | None:
    """The password that ``password_file`` or ``password_env`` leads to; None where neither is. Raises BadInput."""
    if path := options.get("password_file"):
        try:
            return pathlib.Path(str(path)).expanduser().read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError):
            raise BadInput(
                f"the fence agent's password file {path} can't be read: put it there, or mend its rights"
            ) from None
    if variable := options.get("password_env"):
        if str(variable) not in os.environ:
            raise BadInput(f"the fence agent's password is to come from ${variable}, which is not set: set it")
        return os.environ[str(variable)]
    return None


def _port(where: str, given: Any) -> int:
    if given is None:
        return 0
    if not isinstance(given, int) or isinstance(given, bool) or not 0 < given < 65536:
        raise BadInput(f"{where} gives port {given!r}: it must be a number from 1 to 65535")
    return given


def _mapping(where: str, key: str, given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadInput(f"{where} gives {key} a value of the wrong kind: it must hold names and values")
    return given


def _known(where: str, given: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise BadInput(f"{where} says {name}, which is not known here; known are {', '.join(names)}")
