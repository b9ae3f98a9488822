"""Each mutant is noticed: a matrix that stays green with a broken rule would prove nothing."""

import threading
from collections.abc import Callable, Iterator

import pytest
from matrix import page
from matrix.calls import LOST, failing
from matrix.mutants import MUTANTS
from matrix.stage import MakeStage, Stage, kind_of
from mortality import KILLED, Life
from truth import left_behind

Check = Callable[[Stage], Iterator[None]]


def undisturbed(stage: Stage) -> Iterator[None]:
    """Nobody dies."""
    stage.as_undisturbed("undisturbed", stage.play())
    yield


def killed(stage: Stage) -> Iterator[None]:
    """Killed on each side of each effect."""
    for death in stage.points(1):
        if kind_of(death.name) == "effect":
            stage.survives(death)
            yield


def unanswered(stage: Stage) -> Iterator[None]:
    """The answer to each call that changes something is lost."""
    for call in failing(stage):
        if call.method != "GET":
            with call.disturbed(stage, **LOST) as played:
                stage.as_undisturbed(str(call), played)
            yield


def a_second_run(stage: Stage) -> Iterator[None]:
    """While a run that died still holds its servers, another one is refused them."""
    first = next(one for one in stage.points(1) if kind_of(one.name) == "effect")
    stage.set_up()
    assert stage.command(stage.start, first).code == KILLED
    before = stage.effects_now()
    assert stage.command([*stage.start[:-1], "another"]).code == 5
    assert stage.effects_now() == before
    yield


def taken_over(stage: Stage) -> Iterator[None]:
    """Its process hangs in a call, another takes the run over: whoever comes back does nothing more."""
    stage.set_up()
    fault = stage.desk.cloud.fault("pause-after-effect", times=1, service="compute", method="POST", path="/action$")
    ended: list[Life] = []
    first = threading.Thread(target=lambda: ended.append(stage.command(stage.start)))
    first.start()
    fault.wait(60)
    second = stage.desk.typed("resume", "work", "--take-over")
    fault.release()
    first.join()
    assert (second.code, ended[0].code) == (0, 5), second.err + ended[0].err
    assert (stage.effects_now(), left_behind(stage.desk.store)) == (stage.effects, [])
    yield


def unapproved(stage: Stage) -> Iterator[None]:
    """Nobody approved the plan: nothing happens."""
    stage.set_up()
    stage.command([word for word in stage.start if word != "--yes"])
    stage.command(["resume", "work"])
    assert not stage.effects_now()
    yield


def never_back(stage: Stage) -> Iterator[None]:
    """Servers take longer to boot than they are waited for: none of them counts as recovered."""
    stage.set_up()
    usual = stage.desk.cloud.settings()["boot_seconds"]
    stage.desk.cloud.settings(boot_seconds=600)
    life = stage.command([word.replace("boot_timeout=15", "boot_timeout=1") for word in stage.start])
    stage.desk.cloud.settings(boot_seconds=usual)
    done = [lane["title"] for lane in stage.desk.status("work")["lanes"] if lane["state"] == "done"]
    assert (life.code, set(done) & {"db", "web"}) == (3, set()), life.err
    yield


def resumed_reverts(stage: Stage) -> Iterator[None]:
    """Whoever resumes a revert that was killed takes back all that it was asked for."""
    forward = stage.whole.instants[: stage.whole.forward]
    for death in stage.points(1):
        if kind_of(death.name) == "effect":
            stage.set_up()
            assert stage.command(stage.start).code == 0
            assert stage.command(["revert", "work"], death.after(forward)).code == KILLED
            stage.command(["resume", "work"])
            assert stage.state() == "reverted"
            yield


NOTICED: dict[str, tuple[str, Check]] = {
    "looks at nothing": ("power-loss", killed),
    "intends nothing": ("power-loss", killed),
    "confirms nothing": ("power-loss", never_back),
    "keeps writes to itself": ("power-loss", killed),
    "sends again at once": ("power-loss", unanswered),
    "forgets actions": ("power-loss", killed),
    "forgets migrations": ("evacuate-host", killed),
    "widens the where": ("power-loss", undisturbed),
    "locks nothing": ("migrate-servers", a_second_run),
    "keeps its locks": ("migrate-servers", undisturbed),
    "fears no loss": ("power-loss", taken_over),
    "begins anew": ("migrate-servers", killed),
    "forgets what it reverts": ("migrate-servers, reverted", resumed_reverts),
    "undoes nothing": ("migrate-servers, reverted", undisturbed),
    "asks nobody": ("migrate-servers", unapproved),
}


def test_every_mutant_is_looked_for() -> None:
    assert NOTICED.keys() == MUTANTS.keys()


@pytest.mark.parametrize("mutant", list(NOTICED) if page.WHOLE else list(NOTICED)[2::5])
def test_noticed(make_stage: MakeStage, record: page.Record, mutant: str) -> None:
    name, check = NOTICED[mutant]
    broken = MUTANTS[mutant]
    points = check(make_stage(name, f"{broken.__module__}.{broken.__name__}"))
    passed = _until_noticed(points)
    record("mutants noticed", f"{mutant}: {(broken.__doc__ or '').strip()}", points_until_then=passed + 1)


def _until_noticed(points: Iterator[None]) -> int:
    """How many points pass before the first that does not; one must not."""
    passed = 0
    try:
        for _ in points:
            passed += 1
    except AssertionError:
        return passed
    raise AssertionError(f"nothing was noticed at any of {passed} points")


_CHECKS = [a_second_run, unapproved, never_back, taken_over, resumed_reverts]


@pytest.mark.parametrize("check", _CHECKS if page.WHOLE else _CHECKS[:3])
def test_without_a_mutant(make_stage: MakeStage, check: Check) -> None:
    name = next(name for name, known in NOTICED.values() if known is check)
    for _ in check(make_stage(name)):
        pass
