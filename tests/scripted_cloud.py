"""A small real HTTP server: keystone, and a compute service that answers what a test scripts."""

import ipaddress
import json
import ssl
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DATE = "Sat, 21 Nov 2026 07:00:00 GMT"
PASSWORD = "s3cret-of-the-test"


@dataclass
class Reply:
    """One scripted answer. ``cut`` closes the connection, ``hang`` answers only when the site closes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: bool = False
    hang: bool = False


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


class Site:
    """Scripted replies per (method, path), used up one by one; the last one stays."""

    def __init__(self) -> None:
        self.replies: dict[tuple[str, str], list[Reply]] = defaultdict(list)
        self.seen: list[Seen] = []
        self.logins = 0
        self.login_status = 201
        self.valid_tokens: set[str] = set()
        self.services = {"compute": "/compute/v2.1"}
        self.discovery_down = False
        self.running = 0
        self.most_running = 0
        self.slow = 0.0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def speak_tls(self, directory: Path) -> Path:
        """Use HTTPS from now on, with a certificate signed by itself; returns the certificate's file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        pem, secret = directory / "site.pem", directory / "site.key"
        pem.write_bytes(certificate.public_bytes(Encoding.PEM))
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, secret)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")
        return pem

    def script(self, method: str, path: str, *replies: Reply) -> None:
        self.replies[method, path] = list(replies)

    def calls(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    def answer(self, seen: Seen) -> Reply:
        """The reply to one request: identity and discovery by themselves, the rest from the script."""
        if seen.path == "/v3/auth/tokens" and seen.method == "POST":
            return self._login(seen.body)
        if seen.path == "/v3":
            version = {
                "id": "v3.14",
                "status": "stable",
                "links": [{"rel": "self", "href": f"{self.url}/v3/"}],
            }
            return Reply(body={"version": version})
        if seen.path in ("/compute/v2.1", "/compute/"):
            return self._discovery()
        if seen.headers.get("X-Auth-Token") not in self.valid_tokens:
            return Reply(401, {"error": {"code": 401, "message": "The request you have made requires auth."}})
        path = seen.path.removeprefix("/compute/v2.1")
        with self.lock:
            replies = self.replies[seen.method, path]
            return (replies.pop(0) if len(replies) > 1 else replies[0]) if replies else Reply(404, {})

    def _discovery(self) -> Reply:
        if self.discovery_down:
            return Reply(503, raw=b"<html><body>Service Unavailable</body></html>")
        link = {"rel": "self", "href": f"{self.url}/compute/v2.1/"}
        version = {
            "id": "v2.1",
            "status": "CURRENT",
            "version": "2.96",
            "min_version": "2.1",
            "links": [link],
        }
        return Reply(body={"version": version})

    def _login(self, body: Any) -> Reply:
        self.logins += 1
        given = body["auth"]["identity"]["password"]["user"]["password"]
        if given != PASSWORD or self.login_status == 401:
            message = "The request you have made requires authentication."
            return Reply(401, {"error": {"code": 401, "message": message, "title": "Unauthorized"}})
        if self.login_status != 201:
            return Reply(self.login_status, {"error": {"message": "keystone is ill"}})
        self.valid_tokens.add(f"token-{self.logins}")
        catalog = [
            {"type": kind, "name": kind, "id": kind, "endpoints": [self._endpoint(path)]}
            for kind, path in self.services.items()
        ]
        token = {
            "methods": ["password"],
            "user": {"id": "u1", "name": "ann", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p1", "name": "admin", "domain": {"id": "default", "name": "Default"}},
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "catalog": catalog,
            "roles": [],
        }
        return Reply(201, {"token": token}, {"X-Subject-Token": f"token-{self.logins}"})

    def _endpoint(self, path: str) -> dict[str, str]:
        return {"id": path, "interface": "public", "region": "R1", "region_id": "R1", "url": self.url + path}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return DATE

            def handle_any(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                seen = Seen(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body)
                with site.lock:
                    site.seen.append(seen)
                    site.running += 1
                    site.most_running = max(site.most_running, site.running)
                time.sleep(site.slow)
                reply = site.answer(seen)
                if reply.hang:
                    site.closing.wait(30)
                with site.lock:
                    site.running -= 1
                if reply.cut or reply.hang:
                    self.close_connection = True
                    return
                self.reply(reply)

            def reply(self, reply: Reply) -> None:
                raw = reply.raw if reply.raw is not None else b""
                if reply.raw is None and reply.body is not None:
                    raw = json.dumps(reply.body).encode()
                self.send_response(reply.status)
                headers = {"Content-Length": str(len(raw)), "x-openstack-request-id": "req-theirs"}
                for name, value in {**headers, **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

        return Handler
