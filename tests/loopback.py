"""What tests on loopback need: a free port, a wait for an event, and small HTTP servers."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

Found = TypeVar("Found")


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(condition: Callable[[], Found], within_s: float = 20.0) -> Found:
    """Wait until the condition holds and return what it returned; fail when it does not in time."""
    deadline, pause = time.monotonic() + within_s, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        pause.wait(0.02)
    return found


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that answers with whole bodies and writes no log."""

    def answer(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, status: int, content: object) -> None:
        self.answer(status, json.dumps(content).encode(), "application/json")

    def body(self) -> bytes:
        """Read the body of the request."""
        return self.rfile.read(int(self.headers["Content-Length"]))

    def log_message(self, *_args: object) -> None:
        """Stay quiet."""


class LoopbackServer(ThreadingHTTPServer):
    """An HTTP server on a free port, each request in a thread of its own."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve inside the block."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()


@contextmanager
def answering(answer: object, status: int = 200) -> Iterator[int]:
    """Yield the port of a server that answers each GET with this JSON."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.answer_json(status, answer)

    server = LoopbackServer(Handler)
    with server.serving():
        yield server.server_port
