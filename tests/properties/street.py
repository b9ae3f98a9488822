"""A small procedure of lamps in a street that notices every effect, for tests of the life of a run."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from stackmend.engine.plan import Lane, Stage
from stackmend.engine.procedures import Draft, Procedure
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Step
from stackmend.errors import AnswerLost, NeedsHands, Refused

CLOUD = {"auth_url": "http://cloud.example"}
# Lane -> its stage, the lamps that it lights one after the other, and the lanes that it comes after.
LANES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "gate": ("gate", ("main",), ()),
    "east": ("streets", ("e1", "e2"), ()),
    "west": ("streets", ("w1", "fuse", "w2"), ("east",)),
    "park": ("night", ("p1", "p2"), ()),
}
LAMPS = tuple(lamp for _, lamps, _ in LANES.values() for lamp in lamps)
# A fuse can't be un-blown.
FUSES = frozenset(["fuse"])
HOLD = "wait for the dark"


class Street:
    """Which lamps are lit, what was done to each, and what goes wrong next time."""

    def __init__(self) -> None:
        self.lit: set[str] = set()
        self.acts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.broken: set[str] = set()
        self.lost: set[str] = set()
        self.stuck: set[str] = set()
        self.stop_at: str | None = None
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def act(self, lamp: str) -> None:
        """Light a lamp; the service may refuse, or its answer may be lost."""
        with self._lock:
            if lamp == self.stop_at:
                self.stop.set()
            if lamp in self.broken:
                raise Refused(f"the bulb of {lamp} is broken")
            if lamp in self.lit:
                self.wrong.append(f"{lamp} was lit twice")
            self.lit.add(lamp)
            self.acts[lamp] += 1
            if lamp in self.lost:
                self.lost.discard(lamp)
                raise AnswerLost(f"nobody knows whether {lamp} was lit")

    def undo(self, lamp: str) -> None:
        """Put a lamp out."""
        with self._lock:
            if lamp in self.stuck:
                raise NeedsHands(f"the switch of {lamp} is stuck")
            if lamp in FUSES:
                self.wrong.append(f"{lamp} was taken back")
            self.lit.discard(lamp)


class Light(Step):
    """Lights one lamp. Undo: puts it out."""

    slug = "lamp"
    title = "light"

    def __init__(self, lamp: str) -> None:
        super().__init__(lamp)
        self.undoable = lamp not in FUSES

    def observe(self, street: Street) -> Seen:
        return Done({}) if self.target in street.lit else NotStarted({})

    def act(self, street: Street) -> str:
        street.act(self.target)
        return "req-1"

    def confirm(self) -> Evidence:
        return {}

    def undo(self, street: Street) -> Evidence:
        street.undo(self.target)
        return {}


class Look(Step):
    """Reads only. Undo: nothing to undo."""

    slug = "look"
    reads_only = True

    def observe(self) -> Seen:
        return InFlight()

    def confirm(self) -> Evidence:
        return {}


def _draft(_capture: dict[str, Any], _parameters: Mapping[str, Any]) -> Draft:
    lanes = [
        Lane(key, key, stage, {"lamps": list(lamps)}, [], after=list(after), locks=[f"lane:{key}"])
        for key, (stage, lamps, after) in LANES.items()
    ]
    return Draft(lanes, [], [])


PROCEDURE = Procedure(
    name="street",
    version="1",
    summary="",
    guide="",
    parameters=(),
    stages=(Stage("gate", "gate", gate=True), Stage("streets", "streets"), Stage("night", "night", hold=HOLD)),
    capture=lambda _doors, _parameters: {},
    draft=_draft,
    steps=lambda _stage, facts: [Look(facts["lamps"][0]), *(Light(lamp) for lamp in facts["lamps"])],
    doors=frozenset(["street"]),
)
