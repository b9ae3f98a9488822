"""What the commands say when there is no lab, or nothing to make one of."""

from pathlib import Path

import pytest

from stackmend.lab.control import LabError
from stackmend.lab.openstack import binaries
from stackmend.shell import main

_NEEDS_A_LAB = (
    ["down"],
    ["reset"],
    ["status"],
    ["env"],
    ["host", "c01.example.com", "kill"],
    ["service", "volume", "down"],
    ["slow", "compute", "2"],
    ["power-cut"],
    ["power-on"],
)


@pytest.mark.parametrize("words", _NEEDS_A_LAB, ids=lambda words: words[0])
def test_without_a_lab_each_says_how_to_start_one(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", *words, "--directory", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told == f"stackmend: there is no lab in {tmp_path}: start one with `stackmend lab up`\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_service_is_named_with_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "up", "--with", "mistral,ironic", "--directory", str(tmp_path)]) == 2
    assert "the lab has no service ironic; it has mistral, aodh, masakari, or all" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["PYTHONPATH", "=DIR"])
def test_a_variable_is_a_name_and_a_value(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "up", f"--env={given}", "--directory", str(tmp_path)]) == 2
    assert f"--env takes NAME=VALUE, not '{given}'" in capsys.readouterr().err


def test_missing_programs_are_named_with_their_packages(tmp_path: Path) -> None:
    with pytest.raises(LabError) as caught:
        binaries.provide(lambda _text: None, path=str(tmp_path))
    assert str(caught.value) == (
        "the lab needs mariadbd, mariadb-install-db, my_print_defaults, erl, epmd, qemu-img: install the packages "
        "erlang-base erlang-nox mariadb-client-core mariadb-server-core qemu-utils (as root)"
    )


def test_a_missing_program_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"^the lab needs mariadbd: apt-get install mariadb-server-core$"):
        binaries.path_of("mariadbd", path=str(tmp_path))
