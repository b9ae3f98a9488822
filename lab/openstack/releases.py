"""The OpenStack releases that the lab can run: what is installed, and what differs between them."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackmend.errors import BadInput

_PINS = Path(__file__).parent / "pins"
_PROJECTS = (
    "keystone",
    "openstack-placement",
    "glance",
    "neutron",
    "nova",
    "cinder",
    "mistral",
    "mistral-extra",
    "aodh",
    "masakari",
    "python-openstackclient",
    "python-mistralclient",
    "python-masakariclient",
    "aodhclient",
    "osc-placement",
    "PyMySQL",
    "uwsgi",
)


@dataclass(frozen=True)
class Release:
    """One release: ``name`` is OpenStack's own, and of the file in ``pins/`` that holds every version.

    ``besides``: more packages than every release needs. ``applications``: WSGI applications, by process, that are
    elsewhere than in the newest release. ``uwsgi``: options of an API, by process, beyond those of every one.
    """

    name: str
    besides: tuple[str, ...] = ()
    applications: Mapping[str, str] = field(default_factory=dict)
    uwsgi: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def pins(self) -> Path:
        """pip's constraints: each distribution of the environment with its version."""
        return _PINS / f"{self.name}.txt"

    @property
    def packages(self) -> tuple[str, ...]:
        """What is asked of pip; the pins decide the versions."""
        return (*_PROJECTS, *self.besides)

    @property
    def versions(self) -> Mapping[str, str]:
        """Version of each distribution, by its name."""
        lines = self.pins.read_text(encoding="utf-8").split()
        return dict(line.split("==", 1) for line in lines)

    def digest(self) -> str:
        """Changes with every pin, with the packages asked for and with the Python that runs them."""
        told = [*map(str, sys.version_info[:3]), *self.packages, self.pins.read_text(encoding="utf-8")]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


_ALL = (
    Release("2026.2"),
    Release(
        "2025.1",
        # pecan imports pkg_resources, which the newest setuptools no longer have.
        besides=("setuptools",),
        applications={
            "mistral-api": "mistral.api.wsgi:application",
            "aodh-api": "aodh.api.app:build_wsgi_app()",
        },
        # Eventlet is in it: an answer over RPC is heard only by the thread that made the first call.
        uwsgi={"nova-api": ("--processes", "2", "--threads", "1")},
    ),
)
RELEASES = {found.name: found for found in _ALL}
NEWEST = _ALL[0].name


def release(name: str) -> Release:
    """The release of that name; BadInput when there is none."""
    if name not in RELEASES:
        raise BadInput(f"the lab has no release {name}; it has {', '.join(RELEASES)}")
    return RELEASES[name]
