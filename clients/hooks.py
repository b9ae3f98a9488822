"""The only door to an operator's own commands on this machine: hooks that mute or unmute others."""

import os
import shlex
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

from stackmend.errors import AnswerLost, BadInput


@dataclass(frozen=True)
class Hook:
    """One command line for ``/bin/sh`` here; it is told the host in ``$STACKMEND_HOST``."""

    host: str
    line: str

    def text(self) -> str:
        """The command on one line for people."""
        return f"here: STACKMEND_HOST={shlex.quote(self.host)} sh -c {shlex.quote(self.line)}"

    def to_json(self) -> dict[str, Any]:
        """The command as plain JSON."""
        return asdict(self)


def run(hook: Hook, seconds: float) -> str:
    """Run a hook; returns its last line. It may run again after a crash: it must do no harm then.

    Raises AnswerLost when it takes too long, BadInput when it fails.
    """
    environment = {**os.environ, "STACKMEND_HOST": hook.host}
    try:
        ended = subprocess.run(
            ["/bin/sh", "-c", hook.line],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AnswerLost(f"{hook.text()} took more than {seconds:.0f} s: look at what it did") from None
    lines = [line.strip() for line in f"{ended.stdout}\n{ended.stderr}".splitlines() if line.strip()]
    told = lines[-1][:200] if lines else "it said nothing"
    if ended.returncode != 0:
        raise BadInput(f"{hook.text()} ended with {ended.returncode}: {told}; mend it, then retry")
    return told
