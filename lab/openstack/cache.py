"""What is built once and used by every lab of this user: environments and states, each whole or not there."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Say = Callable[[str], None]
_COMPLETE = ".complete"


def default() -> Path:
    """The user's cache for labs."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "stackmend" / "lab"


@contextmanager
def locked(lock: Path, say: Say) -> Iterator[None]:
    """Hold a lock file; whoever comes meanwhile waits. It is let go also when this process is killed."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that holds {lock}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Cache:
    """A directory of parts, each built under a lock by whoever needs it first."""

    def __init__(self, directory: Path, say: Say) -> None:
        self.directory = directory.resolve()
        self._say = say

    def part(self, name: str, build: Callable[[Path], None]) -> Path:
        """The part of that name; ``build(place)`` makes it at its own place, and is asked once.

        A part that a builder left half-done is made anew. Whoever comes meanwhile waits.
        """
        place = self.directory / name
        if (place / _COMPLETE).exists():
            return place
        with locked(self.directory / f"{name}.lock", self._say):
            if not (place / _COMPLETE).exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir(parents=True)
                build(place)
                (place / _COMPLETE).touch()
        return place

    def purge(self) -> None:
        """Remove everything that was built."""
        shutil.rmtree(self.directory, ignore_errors=True)
