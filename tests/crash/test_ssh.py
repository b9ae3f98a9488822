"""SSH is cut in the middle of a command: whether it was done is asked of the machine, and each effect comes once."""

import pytest
from matrix import page
from matrix.halting import halted
from matrix.stage import Instant, MakeStage, Stage
from mortality import Nursery

# What a command is told by that only looks.
_LOOKS = ("cat ", "systemctl show", "journalctl")
NAMES = ["power-loss", "host-return", *(["host-maintenance"] if page.WHOLE else [])]


@pytest.mark.parametrize("name", NAMES)
def test_cut_in_the_middle(make_stage: MakeStage, nursery: Nursery, record: page.Record, name: str) -> None:
    stage = make_stage(name)
    dealt = commands(stage)
    for at, machine in dealt:
        with halted(nursery, stage, at) as command:
            stage.desk.cloud.ssh(machine, drop=1)
            assert command.to_its_end().code in (0, 6)
        stage.as_undisturbed(f"cut after {at}", stage.go_on())
    assert dealt
    record("SSH is cut in mid-command", name, cut=len(dealt))


def commands(stage: Stage) -> list[tuple[Instant, str]]:
    """The instants before the commands that do something, and the machine of each; in the whole matrix, before all."""
    sent = enumerate(stage.desk.cloud.journal("ssh.command"), 1)
    wanted = [(number, one) for number, one in sent if page.WHOLE or not looks(one["command"])]
    return [(Instant("before ssh command", number), one["target"]) for number, one in wanted]


def looks(command: str) -> bool:
    """Whether it changes nothing."""
    return any(word in command for word in _LOOKS)
