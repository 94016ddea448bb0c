"""Prometheus, Alertmanager and receivers of their notifications, on free ports."""

import json
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from storewatch.tools import working_folder


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(condition: Callable[[], Any], within_s: float = 30.0) -> Any:
    """Wait until the condition holds and return what it returned."""
    deadline, pause = time.monotonic() + within_s, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        pause.wait(0.05)
    return found


class HttpServer:
    """A server on loopback that remembers what it was sent and answers as it is told."""

    def __init__(self, pages: dict[str, str] | None = None) -> None:
        self.status = 200
        self.posted: list[tuple[str, Any]] = []
        self.pages = pages or {}
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                self._answer(200 if path in own.pages else 404, own.pages.get(path, "").encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                own.posted.append((self.path, json.loads(body)))
                self._answer(own.status, b"ok")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def alerts(self, path: str) -> list[dict[str, Any]]:
        """Return the alerts of webhooks that came to a path."""
        return [alert for at, body in self.posted if at == path for alert in body["alerts"]]


@contextmanager
def serving(pages: dict[str, str] | None = None) -> Iterator[HttpServer]:
    server = HttpServer(pages)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def running(argv: list[str], log: Path, ready: str) -> Iterator[None]:
    """Run a program until its address answers, and end it afterwards."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv, cwd=working_folder(Path(argv[0])), stdout=output, stderr=output
        )
    try:

        def answers() -> bool:
            assert child.poll() is None, log.read_text()[-2000:]
            try:
                with urllib.request.urlopen(ready, timeout=1) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        until(answers, 30)
        yield
    finally:
        child.terminate()
        child.wait(20)
