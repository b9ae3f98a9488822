#!/usr/bin/python3
"""Pacemaker's alert agent: posts what the cluster saw to `stackmend listen`.

It stands on cluster nodes by itself, as one file, and needs nothing but Python. Pacemaker runs it as hacluster, with
CRM_alert_* in its environment; the recipient is the listener's address, such as https://10.0.0.5:8990/v1/pacemaker.
The rest it reads from a file of NAME=VALUE lines, /etc/stackmend/pacemaker_alert.conf or $STACKMEND_ALERT_CONF:

    secret=...        what the listener's sources.pacemaker.hmac holds (the file must be readable by hacluster only)
    ca=/etc/...       certificates by which the listener's is checked (default: the system's)
    deadline=20       seconds for which it tries again; Pacemaker ends it after 30

It exits with 0 when the listener has stored the alert, and else with 1 and a line on stderr, which Pacemaker logs.
"""

import hashlib
import hmac
import json
import os
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
import uuid

FIELDS = (
    *("kind", "node", "nodeid", "desc", "task", "rc", "target_rc", "status", "rsc", "interval", "exec_time"),
    *("timestamp", "timestamp_epoch", "timestamp_usec", "node_sequence", "version"),
    *("attribute_name", "attribute_value", "recipient"),
)
CONF = "/etc/stackmend/pacemaker_alert.conf"
DEADLINE = "20"
# Seconds for one try, and between two.
_TRY, _PAUSE = 5.0, 1.0
# Answers that are the last word: trying again brings nothing else. 409: it is stored already.
_STORED = (200, 202, 409)
_FINAL = (400, 401, 403, 404, 405, 413)


def main() -> int:
    """Post the alert in the environment; returns the exit code."""
    try:
        conf = settings(os.environ.get("STACKMEND_ALERT_CONF", CONF))
        told = alert()
        body = json.dumps({"alert": told, "reporter": socket.gethostname()}).encode()
        return deliver(told["recipient"], body, conf)
    except (OSError, ValueError, KeyError) as error:
        return fail(f"{type(error).__name__}: {error}")


def settings(path: str) -> "dict[str, str]":
    """The NAME=VALUE lines of a file."""
    with open(path, encoding="utf-8") as lines:
        pairs = [line.strip().partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def alert() -> "dict[str, str]":
    """What Pacemaker says, by the names of its variables without CRM_alert_."""
    told = {name: os.environ.get(f"CRM_alert_{name}", "") for name in FIELDS}
    return {name: value for name, value in told.items() if value}


def deliver(url: str, body: bytes, conf: "dict[str, str]") -> int:
    """Post until it is stored, or the deadline has come: the same delivery each time."""
    delivery, ends = str(uuid.uuid4()), time.monotonic() + float(conf.get("deadline", DEADLINE))
    context = ssl.create_default_context(cafile=conf.get("ca")) if url.startswith("https:") else None
    while True:
        status, why = post(url, body, signed(conf["secret"], delivery, body), context)
        if status in _STORED:
            return 0
        if status in _FINAL or time.monotonic() + _PAUSE > ends:
            return fail(f"{url} did not take it: {why}")
        time.sleep(_PAUSE)


def signed(secret: str, delivery: str, body: bytes) -> "dict[str, str]":
    """The headers of one try."""
    timestamp = str(int(time.time()))
    told = f"pacemaker.{timestamp}.{delivery}.".encode() + body
    return {
        "Content-Type": "application/json",
        "X-Stackmend-Timestamp": timestamp,
        "X-Stackmend-Delivery": delivery,
        "X-Stackmend-Signature": "sha256=" + hmac.new(secret.encode(), told, hashlib.sha256).hexdigest(),
    }


def post(url: str, body: bytes, headers: "dict[str, str]", context: "ssl.SSLContext | None") -> "tuple[int, str]":
    """One try: the answer's status (0: none came), and what was said."""
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=_TRY, context=context) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, f"{error.code} {error.read(500).decode('utf-8', 'replace')}"
    except OSError as error:
        return 0, str(error)


def fail(why: str) -> int:
    """Say why, for Pacemaker's log."""
    sys.stderr.write(f"stackmend alert agent: {why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
