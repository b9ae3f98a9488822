"""What is typed again and again begins at once: nothing is imported that it does not need."""

import json
import subprocess
import sys

import pytest
from desk import Desk

# Each of these takes longer to import than all that looking at a run does.
HEAVY = ["alembic", "asyncssh", "jinja2", "jsonschema", "keystoneauth1", "networkx", "openstack", "paramiko"]
_PROBE = """
import json, sys
from stackmend.shell import main
try:
    code = main(sys.argv[1:])
except SystemExit as left:
    code = left.code or 0
sys.stderr.write(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.mark.parametrize("words", [("--help",), ("status", "last"), ("list",)])
def test_nothing_heavy_is_imported(shop: Desk, words: tuple[str, ...]) -> None:
    assert shop.stackmend("run", "power-loss").code == 6
    ended = subprocess.run([sys.executable, "-c", _PROBE, *words], capture_output=True, text=True, check=True)
    code, imported = json.loads(ended.stderr)
    assert code in (0, 6)
    assert [name for name in HEAVY if name in imported] == []
    assert ended.stdout


def test_help_tells_of_every_command(shop: Desk) -> None:
    ended = shop.typed("--help")
    assert ended.code == 0
    assert "  run               Plan a procedure, have the plan approved, and execute it\n" in ended.out
    assert "  procedure list " in ended.out
    assert [line for line in ended.out.partition("Commands:")[2].splitlines()[1:] if len(line.split()) < 2] == []
