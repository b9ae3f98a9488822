"""Pages that are typed: their Python and console blocks are run in order, and what comes back is compared."""

import doctest
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"\bby [\w.-]+$", re.MULTILINE), "by SOMEBODY"),
    # Where a kill finds a run is another step each time.
    (re.compile(r"^lanes: .*(interrupted|pending).*\n(.*\n)*?(?=next:)", re.MULTILINE), "WHERE IT WAS KILLED\n"),
)
_MARK = "__typed__"


@dataclass(frozen=True)
class Block:
    """One fenced block: its kind (pycon, console, python, ...) and its text."""

    kind: str
    body: str


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in _FENCE.finditer(text):
        yield Block(found["kind"], found["body"])


def commands(body: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block (with their continuation lines), each with what it is said to print."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        first, *rest = part.splitlines()
        typed = [first]
        while rest and rest[0].startswith("> "):
            typed.append(rest.pop(0)[2:])
        yield "\n".join(typed), "".join(f"{line}\n" for line in rest)


def difference(said: str, came: str) -> str | None:
    """What a page says and did not come, ids and times aside; ``...`` stands for anything. None when all came."""
    first, *between = _settled(said).split("...")
    rest = _settled(came)
    if not rest.startswith(first) or not rest.endswith(between[-1] if between else first):
        return f"said:\n{said}\ncame:\n{came}"
    rest = rest[len(first) :]
    for piece in between:
        place = rest.find(piece)
        if place < 0:
            return f"said:\n{piece}\nnot among what came after the piece before it:\n{rest}"
        rest = rest[place + len(piece) :]
    return None if between or not rest else f"said:\n{said}\ncame:\n{came}"


def _settled(text: str) -> str:
    # A line of dots alone stands for any number of lines, none included.
    text = re.sub(r"^\.\.\.\n", "...", text, flags=re.MULTILINE)
    for changing, name in _CHANGING:
        text = changing.sub(name, text)
    return text


class Typist:
    """One shell and one Python session, in ``directory``, with this interpreter's commands on the path."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._names: dict[str, Any] = {}
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=directory,
            env=_environment(directory),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        """End the shell, and the simulated cloud that was started in the Python session."""
        self._shell.communicate("exit\n")
        if cloud := self._names.get("cloud"):
            cloud.stop()

    def console(self, block: Block) -> list[str]:
        """Type a console block; what differs, as text."""
        return [
            f"$ {command}\n{wrong}"
            for command, said in commands(block.body)
            if (wrong := difference(said, self.type(command)))
        ]

    def python(self, block: Block) -> list[str]:
        """Type a Python block; what differs, as text."""
        told: list[str] = []
        test = doctest.DocTestParser().get_doctest(block.body, self._names, "page", None, None)
        before = pathlib.Path.cwd()
        os.chdir(self._directory)
        try:
            doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append, clear_globs=False)
        finally:
            os.chdir(before)
        self._names = test.globs
        return ["".join(told)] if told else []

    def type(self, command: str) -> str:
        """Type one command; what it printed, on both streams."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{command}\n_code=$?; echo {_MARK}; (exit $_code)\n")
        self._shell.stdin.flush()
        came = ""
        for line in self._shell.stdout:
            came += line
            if came.endswith(f"{_MARK}\n"):
                return came.removesuffix(f"{_MARK}\n")
        raise AssertionError(f"the shell ended at: {command}\n{came}")


def _environment(directory: pathlib.Path) -> Mapping[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "STACKMEND_"))}
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), inherited["PATH"]])
    return {**inherited, "PATH": path, "HOME": str(directory), "COLUMNS": "200", "USER": "operator"}
