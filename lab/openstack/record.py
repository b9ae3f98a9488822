"""What a lab's directory says of itself: lab.json."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stackmend.errors import BadInput
from stackmend.lab.openstack.releases import release
from stackmend.lab.openstack.site import Site


@dataclass(frozen=True)
class Record:
    """A lab as it was brought up: its release and ports, its extra services and their variables, and its parts.

    ``cache`` is the directory that the environment ``venv`` and the clean ``state`` are in.
    """

    release: str
    port_base: int
    extras: list[str]
    venv: str
    broker: str
    state: str
    cache: str
    variables: dict[str, str] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Put it into a lab's directory."""
        directory.mkdir(parents=True, exist_ok=True)
        _file(directory).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def site(self, directory: Path) -> Site:
        """The lab that it tells of."""
        parts = (Path(self.venv), Path(self.broker), release(self.release))
        return Site(directory, *parts, self.port_base, variables=self.variables)


def exists(directory: Path) -> bool:
    """Whether there is a lab in a directory."""
    return _file(directory).is_file()


def read(directory: Path) -> Record:
    """The record of the lab in a directory; BadInput when there is none or it can't be read."""
    try:
        return Record(**json.loads(_file(directory).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadInput(f"there is no lab in {directory}: start one with `stackmend lab up`") from None
    except (ValueError, TypeError) as error:
        raise BadInput(f"{_file(directory)} is not a lab's record ({error}): remove the directory") from None


def _file(directory: Path) -> Path:
    return directory / "lab.json"


def remove(directory: Path) -> None:
    """Let a directory say of itself no longer that it holds a lab."""
    _file(directory).unlink(missing_ok=True)
