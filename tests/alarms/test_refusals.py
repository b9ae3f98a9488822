"""Nobody is trusted without credentials, and nothing that is sent stops the service."""

import contextlib
import json
import re
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listening import EVACUATE, SECRET, TOKEN, Listening, basic, down, group, post, signed
from waiting import until

from stackmend.alarms import server, web
from stackmend.alarms.ledger import SAME, STARTED

PACEMAKER = {"alert": {"kind": "node", "node": "c01", "desc": "lost"}, "reporter": "c02"}
BODY = json.dumps(PACEMAKER).encode()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    secret = str(tmp_path / "secret")
    trust = {name: {"token": secret} for name in ("aodh", "alertmanager", "zaqar")}
    with Listening(tmp_path, [EVACUATE], sources={**trust, "pacemaker": {"hmac": secret}}) as found:
        yield found


def refused(listening: Listening, source: str, kind: str) -> float:
    """How many requests /metrics says were refused."""
    wanted = f'stackmend_alarms_refused_total{{kind="{kind}",source="{source}"}} '
    lines = listening.get("/metrics")[1].splitlines()
    return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))


def test_a_source_without_credentials_in_the_file_is_refused_and_that_is_said(listening: Listening) -> None:
    assert "masakari is refused: no credentials are set up" in listening.said
    status, answer = listening.post("/v1/notifications", {})
    assert (status, answer["error"]["code"]) == (401, 401)
    assert "no credentials are set up" in answer["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer another secret of the same length"},
        {"Authorization": f"Bearer {SECRET[:-1]}"},
        {"Authorization": SECRET},
        {"Authorization": "Basic %%%"},
        {"X-Auth-Token": SECRET},
        {"X-Stackmend-Signature": "sha256=00"},
        basic("wrong"),
    ],
)
def test_wrong_or_missing_credentials_are_refused(listening: Listening, headers: dict[str, str]) -> None:
    status, answer = listening.post("/v1/alertmanager", group(down("c01")), headers)
    assert (status, answer["error"]["title"]) == (401, "Unauthorized")
    assert listening.verdicts() == []


def test_a_token_may_be_a_password(listening: Listening) -> None:
    """Aodh puts what stands in its action's address, https://aodh:SECRET@host/v1/aodh, into this header."""
    assert listening.post("/v1/alertmanager", group(down("c01")), basic(SECRET))[0] == 202


def test_refusals_are_counted_each_and_told_once(listening: Listening) -> None:
    before = len(listening.said)
    for _ in range(50):
        assert listening.post("/v1/aodh", b"", {})[0] == 401
    assert refused(listening, "aodh", "credentials") == 50
    assert len(listening.said) == before + 1
    assert not [line for line in listening.said if SECRET in line]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": 1} b', b"\x1f\x8b\x08"])
def test_what_is_not_json_is_refused(listening: Listening, body: bytes) -> None:
    status, answer = listening.post("/v1/alertmanager", body)
    assert (status, answer["error"]["message"]) == (400, "its body is not JSON")


def test_what_is_no_http_is_refused_counted_and_told_once(listening: Listening) -> None:
    before = len(listening.said)
    for sent in (b"\x16\x03\x01\x02\x00\x01", b"EHLO there\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", listening.port), timeout=20) as wire:
            wire.sendall(sent + b"\r\n")
            assert _received(wire)[:12] == b"HTTP/1.1 400"
    assert refused(listening, "somebody", "malformed") == 2
    assert listening.said[before:] == ["refused what somebody sent: what came is no HTTP"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "3"}, "data.version must be same as const definition: 4"),
        ({"alerts": {}}, "data.alerts must be array"),
        ({"alerts": [down("c01", startsAt="soon")]}, "data.alerts[0].startsAt must match pattern"),
        ({"alerts": [down("c01", labels={"a": 1})]}, "data.alerts[0].labels.a must be string"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(listening: Listening, change: dict[str, Any], told: str) -> None:
    status, answer = listening.post("/v1/alertmanager", group(down("c01")) | change)
    assert status == 400
    assert told in answer["error"]["message"]


def test_an_unknown_field_of_a_fixed_format_is_refused(listening: Listening) -> None:
    body = json.dumps({**PACEMAKER, "sudo": True}).encode()
    status, answer = listening.post("/v1/pacemaker", body, signed("pacemaker", body))
    assert status == 400
    assert "sudo" in answer["error"]["message"]


def test_what_is_no_text_in_utf8_is_answered_and_told_on_one_line(listening: Listening) -> None:
    odd = "\ud800\x00\r\nall is well"
    before = len(listening.said)
    body = json.dumps({**PACEMAKER, odd: 1}).encode()
    assert listening.post("/v1/pacemaker", body, signed("pacemaker", body))[0] == 400
    (line,) = listening.said[before:]
    assert line.isprintable()
    body = json.dumps({"alert": PACEMAKER["alert"] | {"node": odd}, "reporter": odd}).encode()
    assert listening.post("/v1/pacemaker", body, signed("pacemaker", body))[0] == 202
    assert listening.ledger.find("1").host == "\ufffd\ufffd\ufffd\ufffdall is well"


def test_oversize_is_refused_and_not_kept(listening: Listening) -> None:
    assert listening.post("/v1/aodh", b" " * (web.LARGEST + 1))[0] == 413
    assert listening.post("/v1/aodh", b" " * web.LARGEST)[0] == 400
    head = f"POST /v1/aodh HTTP/1.1\r\nHost: x\r\nAuthorization: {TOKEN['Authorization']}\r\n"
    for length, body in (("Content-Length: 10000000000", b""), ("Transfer-Encoding: chunked", b"fffffff\r\n")):
        with socket.create_connection(("127.0.0.1", listening.port), timeout=20) as wire:
            wire.sendall(f"{head}{length}\r\n\r\n".encode() + body)
            with contextlib.suppress(ConnectionError):
                while body and refused(listening, "aodh", "oversize") < 3:
                    wire.sendall(b" " * 65536)
            assert _received(wire)[:12] in (b"HTTP/1.1 413", *([b""] if body else []))
    assert refused(listening, "aodh", "oversize") == 3


def test_a_signature_is_taken_once_and_for_a_while(listening: Listening) -> None:
    fresh = signed("pacemaker", BODY)
    assert listening.post("/v1/pacemaker", BODY, fresh)[0] == 202
    assert listening.post("/v1/pacemaker", BODY, fresh)[0] == 409
    assert listening.post("/v1/pacemaker", BODY, signed("pacemaker", BODY, ago=400))[0] == 401
    assert listening.post("/v1/pacemaker", BODY, signed("pacemaker", BODY, ago=-400))[0] == 401
    assert listening.post("/v1/pacemaker", BODY, signed("pacemaker", BODY, ago=200))[0] == 202
    assert refused(listening, "pacemaker", "replayed") == 3


@pytest.mark.parametrize("header", ["X-Stackmend-Timestamp", "X-Stackmend-Delivery", "X-Stackmend-Signature"])
def test_every_part_of_a_signature_counts(listening: Listening, header: str) -> None:
    for changed in ({}, {header: "1"}):
        headers = {name: value for name, value in signed("pacemaker", BODY).items() if name != header} | changed
        assert listening.post("/v1/pacemaker", BODY, headers)[0] == 401
    assert listening.post("/v1/pacemaker", BODY + b" ", signed("pacemaker", BODY))[0] == 401
    assert listening.post("/v1/pacemaker", BODY, signed("aodh", BODY))[0] == 401
    assert listening.post("/v1/pacemaker", BODY, signed("pacemaker", BODY, secret="x" * 32))[0] == 401
    assert listening.verdicts() == []


def test_a_delivery_may_bear_an_id_whatever_proves_it(listening: Listening) -> None:
    one = TOKEN | {"X-Stackmend-Delivery": "one"}
    assert listening.post("/v1/alertmanager", group(down("c01"), down("c01")), one)[0] == 202
    assert listening.post("/v1/alertmanager", group(down("c01"), down("c01")), one)[0] == 409
    assert listening.verdicts() == [STARTED, SAME]


def test_slow_clients_are_ended_and_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 2.0)
    monkeypatch.setattr(web, "_BODY_SECONDS", 0.5)
    half = f"POST /v1/alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: {TOKEN['Authorization']}\r\n".encode()
    slow = [b"", b"POST /v1", half, half + b"Content-Length: 100\r\n\r\n{"]
    with Listening(tmp_path, [EVACUATE]) as listening:
        wires = [socket.create_connection(("127.0.0.1", listening.port), timeout=20) for _ in range(80)]
        for number, wire in enumerate(wires):
            wire.sendall(slow[number % len(slow)])
        listening.alert(down("c01"))
        ends = [b"".join(iter(lambda wire=wire: _received(wire), b"")) for wire in wires]
        for wire in wires:
            wire.close()
        assert {ends[number][:12] for number in range(80) if number % 4 != 3} == {b""}
        assert {ends[number][:12] for number in range(80) if number % 4 == 3} == {b"HTTP/1.1 408"}
        until(lambda: refused(listening, "alertmanager", "slow") == 20, "slow bodies are counted")
        assert refused(listening, "somebody", "slow") == 60
        assert listening.verdicts() == [STARTED]


def _received(wire: socket.socket) -> bytes:
    try:
        return wire.recv(1000)
    except ConnectionResetError:
        return b""


def test_a_store_that_is_gone_is_said_and_nothing_is_accepted(tmp_path: Path) -> None:
    with Listening(tmp_path, [EVACUATE]) as listening:
        listening.verdicts()
        for file in tmp_path.glob("runs.sqlite*"):
            file.rename(tmp_path / f"away-{file.name}")
        # What is open stays usable; a new connection is refused.
        listening.store.engine.dispose()
        status, answer = listening.post("/v1/alertmanager", group(down("c01")))
        assert (status, answer["error"]["title"]) == (503, "Service Unavailable")
        for file in tmp_path.glob("away-*"):
            file.rename(tmp_path / file.name.removeprefix("away-"))
        listening.alert(down("c01"))
        until(lambda: listening.verdicts() == [STARTED], "it goes on by itself")


def test_it_serves_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    listening = Listening(tmp_path, [EVACUATE], certificate=str(certificate), key=str(key))
    with listening:
        context = ssl.create_default_context(cafile=str(certificate))
        request = urllib.request.Request(
            f"https://127.0.0.1:{listening.port}/v1/alertmanager", json.dumps(group(down("c01"))).encode(), TOKEN
        )
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            assert answer.status == 202


def test_what_it_is_asked_beside_alarms(listening: Listening) -> None:
    assert listening.get("/healthz")[0] == 200
    assert re.search(r'stackmend_alarms\{verdict="held"\} 0.0', listening.get("/metrics")[1])
    assert listening.get("/nothing")[0] == 404
    assert listening.get("/v1/aodh")[0] == 405
    assert post(listening.port, "/healthz", {})[0] == 405
