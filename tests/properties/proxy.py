"""A proxy in front of one service of the simulated cloud: it remembers its answers, and can give others instead."""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Proxy:
    """``answers``: the JSON of every GET, by path without query. ``instead``: what is answered there from now on."""

    def __init__(self, url: str) -> None:
        self.answers: dict[str, Any] = {}
        self.instead: dict[str, Any] = {}
        self._behind = urlsplit(url)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{self._behind.path}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fetched(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, bytes]:
        """What the service behind answers, or what is to be answered instead of it."""
        link = http.client.HTTPConnection(str(self._behind.hostname), self._behind.port, timeout=10)
        try:
            link.request(method, path, body, headers)
            answer = link.getresponse()
            content = answer.read()
        finally:
            link.close()
        place = urlsplit(path).path
        if method == "GET" and answer.status == 200 and content:
            self.answers[place] = json.loads(content)
            if place in self.instead:
                content = json.dumps(self.instead[place]).encode()
        return answer.status, answer.headers, content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                kept = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                status, headers, content = proxy.fetched(self.command, self.path, kept, self.rfile.read(length))
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

        return Handler
