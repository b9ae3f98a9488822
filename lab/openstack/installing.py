"""A new lab in a directory: the parts it needs are taken from the cache, or built into it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from stackmend.lab.openstack import binaries, build, state
from stackmend.lab.openstack.cache import Cache
from stackmend.lab.openstack.record import Record
from stackmend.lab.openstack.releases import Release
from stackmend.lab.openstack.site import Site

Say = Callable[[str], None]


def install(directory: Path, release: Release, port_base: int, extras: Iterable[str], parts: Cache, say: Say) -> None:
    """Lay a clean lab into a directory; LabError when something that it needs can't be had."""
    binaries.provide(say)
    broker = binaries.broker(parts, say)
    venv = parts.part(build.environment_key(release), lambda place: build.build_environment(place, release, say))

    def build_state(place: Path) -> None:
        build.build_state(place, Site(place.with_name(f"{place.name}.building"), venv, broker, release, port_base), say)

    clean = parts.part(build.state_key(release), build_state)
    state.lay(clean, Site(directory, venv, broker, release, port_base))
    told = (str(venv), str(broker), str(clean), str(parts.directory))
    Record(release.name, port_base, list(extras), *told).write(directory)
