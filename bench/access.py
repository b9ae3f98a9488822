"""What the APIs of the real OpenStack lab were asked, and by whom: from their access logs."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SIGN_IN, LIST, ONE, CHANGE = "sign-ins, versions", "lists", "reads of one thing", "changes"
KINDS = (SIGN_IN, LIST, ONE, CHANGE)
# method, path, status, milliseconds, who asks.
_LINE = re.compile(r"^(?P<method>[A-Z]+) (?P<path>\S+) \S+ \S+ ?(?P<agent>.*)$")
_PROJECT = re.compile(r"^/v3/[0-9a-f]{32}(?=/)")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}")
_VERSIONS = re.compile(r"^/?(v[0-9.]+/?)?$")


@dataclass(frozen=True)
class Call:
    """A call as a service took it: ``path`` without query and with ID for ids, ``agent`` as the caller calls itself."""

    api: str
    method: str
    path: str
    agent: str

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method in ("GET", "HEAD")

    @property
    def kind(self) -> str:
        """One of KINDS. All that identity is asked for is signing in, and looking at who signed in."""
        if self.api.startswith("keystone") or _VERSIONS.match(self.path):
            return SIGN_IN
        if not self.reads:
            return CHANGE
        return ONE if "ID" in self.path else LIST


def calls(logs: Path) -> Counter[Call]:
    """The calls in all access logs of a directory, and how often each."""
    found: Counter[Call] = Counter()
    for log in logs.glob("*.access.log"):
        api = log.name.removesuffix(".access.log")
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        found.update(_call(api, match) for line in lines if (match := _LINE.match(line)))
    return found


def _call(api: str, match: re.Match[str]) -> Call:
    path = _PROJECT.sub("", match["path"].partition("?")[0])
    return Call(api, match["method"], _ID.sub("ID", path), match["agent"])
