"""What was measured of evacuations, as the page of the documentation tells it."""

import os
import platform
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.access import KINDS


@dataclass(frozen=True)
class Cost:
    """One rescue: seconds until the last server was whole (``back``) and until it said so (``told``); calls; CPU.

    ``calls`` are all that the core services' APIs took, those among the services themselves included; ``own`` those
    that the way itself made, by kind. ``services``: the services' CPU seconds, without Masakari's.
    """

    back: float
    told: float
    calls: int
    writes: int
    own: Counter[str]
    services: float

    @property
    def asked(self) -> int:
        """How many calls it made itself."""
        return self.own.total()


# By how many servers there were, and the way.
Found = dict[tuple[int, str], list[Cost]]


def table(found: Found) -> list[str]:
    """What each way took, in Markdown, each number a median."""
    head = ["servers", "way", "back, s", "told, s", "calls", "writes", "its own calls", "services, CPU s"]
    rows = [[str(servers), title, *_medians(costs)] for (servers, title), costs in found.items()]
    return _lines(head, rows)


def own_table(found: Found) -> list[str]:
    """What each way asked itself, by kind, in Markdown, each number a median."""
    rows = [
        [str(servers), title, *(f"{statistics.median(one.own[kind] for one in costs):.0f}" for kind in KINDS)]
        for (servers, title), costs in found.items()
    ]
    return _lines(["servers", "way", *KINDS], rows)


def _medians(costs: Sequence[Cost]) -> list[str]:
    def median(name: str, digits: int) -> str:
        return f"{statistics.median(getattr(one, name) for one in costs):.{digits}f}"

    return [
        *(median(name, 1) for name in ("back", "told")),
        *(median(name, 0) for name in ("calls", "writes", "asked")),
        median("services", 1),
    ]


def page(costs: list[str], own: list[str], sizes: Sequence[tuple[int, int]], threads: Sequence[int]) -> str:
    """The page of the documentation that holds the tables."""
    machine = f"{os.cpu_count()} cores ({platform.machine()})"
    words = ["--servers", *(str(servers) for servers, _ in sizes), "--repeats", *(str(often) for _, often in sizes)]
    words += ["--threads", *map(str, threads)]
    often = ", ".join(f"{often} times with {servers} servers" for servers, often in sizes)
    given = {"command": " ".join(words), "often": often, "machine": machine}
    return _PAGE.format(costs="\n".join(costs), own="\n".join(own), **given)


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [_line(head), _line("---" if name == "way" else "---:" for name in head), *map(_line, rows)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


_PAGE = """\
# What an evacuation costs, side by side

A host of the real OpenStack lab with so many servers, a volume each, loses its power. When nova has noticed, each way
brings them back on the two other hosts; before each of them the cloud is clean again.

{costs}

* *Back* is when the last server ran elsewhere with its volume and its port, as the services' databases show it; *told*
  is when the tool itself said that it was done. The loop of OpenStack's client looks at nothing: it is told by us.
* *Calls* are all that the APIs of keystone, nova, cinder, neutron, placement and glance took, from their access logs:
  the services' own calls to each other included, which an evacuation costs whoever asks for it. *Writes* are those that
  are no GET.
* *Its own calls* are those of them that the way itself made, told apart by the user agent.
* *Services* is the CPU of OpenStack's processes, database and bus; that of the tool itself (Masakari's API and engine
  too) is left out.

Of its own calls:

{own}

* *Sign-ins, versions*: at keystone, and for the versions that an API speaks. Masakari signs in for each call; that
  nova then asks keystone about each new token is nova's call. *Changes* are what the recovery is, and Masakari's locks.
* Masakari is asked once a second how far it is. Its own API's calls are left out, but not that keystone checks a token
  for each of them: about one call a second.
* Masakari is tuned: it does not wait after it disabled the service, waits for a server as long as it takes, and works
  with as many threads as the row says.
* stackmend does more in that time: it plans, keeps every step, fences (by an operator's word here), forces the host
  down, proves state, volumes and ports at three services, and holds the host.

Measured on {machine}, each way {often}, medians:

```console
$ python -m bench.evacuation {command} --write
```
"""
