"""The procedure that is measured: lanes of trivial steps, so that what is left is the engine's own cost."""

import time
from collections.abc import Mapping
from typing import Any

from stackmend.engine import planning, procedures
from stackmend.engine.parameters import Parameter
from stackmend.engine.plan import Lane, Stage
from stackmend.engine.procedures import Draft, Procedure
from stackmend.engine.step import Done, Evidence, NotStarted, Seen, Step
from stackmend.engine.store import Store

STEPS = 5
READING, ACTING = "reading", "acting"
CLOUD = {"auth_url": "http://cloud.example"}


class World:
    """What the steps act on; ``first`` is the monotonic time at which a step first looked at it."""

    def __init__(self) -> None:
        self.touched: set[str] = set()
        self.first: float | None = None

    def is_touched(self, target: str) -> bool:
        """Whether a step has acted on ``target``."""
        if self.first is None:
            self.first = time.monotonic()
        return target in self.touched


class Look(Step):
    """Reads only. Undo: nothing to undo."""

    slug = "bench.look"
    title = "looks"
    reads_only = True

    def observe(self, world: World) -> Seen:
        """Look once."""
        return Done({"touched": world.is_touched(self.target)})


class Touch(Step):
    """One effect: an intent, an act, its answer. Undo: forget it."""

    slug = "bench.touch"
    title = "touches"

    def observe(self, world: World) -> Seen:
        """Look whether it is done."""
        return Done({"touched": True}) if world.is_touched(self.target) else NotStarted({"touched": False})

    def act(self, world: World) -> str:
        """Do it; returns a request id."""
        world.touched.add(self.target)
        return f"req-{self.target}"

    def confirm(self, world: World) -> Evidence:
        """Prove it."""
        return {"touched": world.is_touched(self.target)}

    def undo(self, world: World) -> Evidence:
        """Forget it."""
        world.touched.discard(self.target)
        return {"touched": False}


def install() -> None:
    """Make the procedure known to this process: the catalogue holds what is installed, and this is not."""
    procedures.catalogue()[PROCEDURE.name] = PROCEDURE


def stored_run(store: Store, kind: str, lanes: int) -> str:
    """Plan, store and approve a run of ``lanes`` lanes of five ``kind`` steps, after ``install``; returns its id."""
    plan = planning.make(PROCEDURE, {"kind": kind, "lanes": lanes}, {}, CLOUD)
    run_id, _ = store.create(plan, f"{kind}-{lanes}")
    store.approve(run_id)
    return run_id


def _draft(_capture: dict[str, Any], parameters: Mapping[str, Any]) -> Draft:
    keys = [f"server-{number:05}" for number in range(parameters["lanes"])]
    lanes = [Lane(key, key, parameters["kind"], {"server": key}, [], locks=[f"server:{key}"]) for key in keys]
    return Draft(lanes, [], [])


def _steps(stage: str, facts: dict[str, Any]) -> list[Step]:
    step = Look if stage == READING else Touch
    return [step(f"{facts['server']}-{number}") for number in range(STEPS)]


PROCEDURE = Procedure(
    name="bench",
    version="1",
    summary="Trivial steps",
    guide="",
    parameters=[Parameter("lanes", "how many lanes", kind=int, least=1), Parameter("kind", "reading or acting")],
    stages=[Stage(READING, "Looking"), Stage(ACTING, "Touching")],
    capture=lambda _doors, _parameters: {},
    draft=_draft,
    steps=_steps,
    doors=frozenset(["world"]),
)
