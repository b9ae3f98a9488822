"""A control group of a machine's own: systemd-nspawn makes more beneath it, which two machines must not share."""

import os
from collections.abc import Iterator
from pathlib import Path

from waiting import until


class ControlGroup:
    """The same name in each hierarchy that systemd keeps services in: the unified one, and v1's where it is used."""

    def __init__(self, name: str) -> None:
        self.places = [place / name for place in _ours()]

    def enter(self) -> None:
        """Put this process into it."""
        for place in self.places:
            place.mkdir()
            (place / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        """Remove it, once the kernel has let the last process of it go."""
        until(self._empty, "the machine's control group is empty")

    def _empty(self) -> bool:
        for place in self.places:
            for path, _, _ in os.walk(place, topdown=False):
                try:
                    Path(path).rmdir()
                except OSError:
                    return False
        return True


def _ours() -> Iterator[Path]:
    """Where this process's control groups are mounted."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    ours = {controllers: path for _, controllers, path in lines}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, system = line.partition(" - ")
        _, _, _, root, point, *_ = mount.split()
        kind, _, options = system.split(" ", 2)
        name = "name=systemd"
        if kind == "cgroup2":
            yield Path(point) / os.path.relpath(ours[""], root)
        elif kind == "cgroup" and name in options.split(","):
            yield Path(point) / os.path.relpath(ours[name], root)
