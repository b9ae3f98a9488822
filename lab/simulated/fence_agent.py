"""A fence agent for the simulated hosts: the protocol of Debian's fence-agents, over the simulated Redfish.

Run as a program of its own (DIR/fence_simulated does): ``name=value`` lines on standard input; it answers by
words and exit status as fence_redfish does: of ``status`` 0 for on, 2 for off, and 1 for a failure. It needs
nothing but Python, so that it starts as quickly as it can.
"""

import base64
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import TextIO

_RESETS = {"on": "On", "off": "ForceOff"}
_LOOK_EVERY = 0.05


def main(lines: Iterable[str]) -> int:
    """Do the order that the lines hold; the exit status."""
    order = dict(line.strip().partition("=")[::2] for line in lines if "=" in line)
    action = order.get("action", "reboot")
    try:
        if action == "status":
            return _told(_power(order))
        if action in _RESETS:
            return _switched(order, action)
    except (OSError, ValueError, KeyError) as error:
        # As fence_redfish: a wrong password and an unknown system sound alike.
        _say(sys.stderr, f"ERROR: Unable to get PowerState: {error}\nPlease use '-h' for usage")
        return 1
    _say(sys.stderr, f"ERROR: Unrecognised action '{action}'\nPlease use '-h' for usage")
    return 1


def _switched(order: dict[str, str], action: str) -> int:
    if _power(order) == action:
        _say(sys.stdout, f"Success: Already {action.upper()}")
        return 0
    _call(order, "/Actions/ComputerSystem.Reset", {"ResetType": _RESETS[action]})
    deadline = time.monotonic() + float(order.get("power_timeout", "20"))
    while _power(order) != action:
        if time.monotonic() >= deadline:
            _say(sys.stderr, "ERROR: Failed: Timed out waiting to power " + action.upper())
            return 1
        time.sleep(_LOOK_EVERY)
    _say(sys.stdout, f"Success: Powered {action.upper()}")
    return 0


def _told(power: str) -> int:
    _say(sys.stdout, f"Status: {power.upper()}")
    return 0 if power == "on" else 2


def _power(order: dict[str, str]) -> str:
    return str(json.loads(_call(order))["PowerState"]).lower()


def _call(order: dict[str, str], path: str = "", body: dict[str, str] | None = None) -> bytes:
    where = f"http://{order['ip']}:{order['ipport']}{order['systems_uri']}{path}"
    login = base64.b64encode(f"{order['username']}:{order['password']}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(where, data, headers)
    with urllib.request.urlopen(request, timeout=float(order.get("shell_timeout", "3"))) as answer:
        found: bytes = answer.read()
    return found


def _say(stream: TextIO, words: str) -> None:
    stream.write(f"{words}\n")


if __name__ == "__main__":
    sys.exit(main(sys.stdin))
