"""The workbooks that ship with stackmend."""

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import yaml

from stackmend.errors import BadInput

_ACTION = re.compile(r"^ +action: (stackmend\.\w+)$", re.MULTILINE)


def texts() -> dict[str, str]:
    """The text of each workbook, by its name."""
    files = [file for file in resources.files("stackmend.workbooks").iterdir() if file.name.endswith(".yaml")]
    found = [file.read_text(encoding="utf-8") for file in files]
    return {yaml.safe_load(text)["name"]: text for text in sorted(found)}


def text(name: str) -> str:
    """The text of the workbook of that name. Raises BadInput."""
    found = texts()
    if name not in found:
        raise BadInput(f"there is no workbook {name}: `stackmend workbook list` shows {', '.join(sorted(found))}")
    return found[name]


def workflows() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every workflow that ships, by the name that it has once it is installed."""
    for name, content in sorted(texts().items()):
        for workflow, found in yaml.safe_load(content)["workflows"].items():
            yield f"{name}.{workflow}", found


def actions() -> list[str]:
    """The actions of ours that they need."""
    return sorted({action for content in texts().values() for action in _ACTION.findall(content)})
