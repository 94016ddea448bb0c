"""A proxy on loopback in front of a real S3 server that does what networks and servers do."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ERROR = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>no</Message></Error>'
Handler = BaseHTTPRequestHandler


def status(code: int) -> Callable[[Handler, bytes], None]:
    """Answer with a status and an error body."""

    def fault(request: Handler, _body: bytes) -> None:
        request.send_response(code)
        request.send_header("Content-Length", str(len(ERROR)))
        request.end_headers()
        request.wfile.write(ERROR)

    return fault


def reset(request: Handler, _body: bytes) -> None:
    """Break the connection with a reset."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()


def silence(request: Handler, _body: bytes) -> None:
    """Answer nothing until the client goes away."""
    request.connection.recv(1)


@dataclass
class Fault:
    """What to do instead of forwarding.

    Attributes:
        method: of the request.
        part: of the path with its query, such as partNumber=2.
        act: what is done; None: forward, and cut the answer's body in half.
        times: how often.
        forward: let the server see the request first: only its answer is lost.
        read: whether the request's body is read before.
    """

    method: str
    part: str
    act: Callable[[Handler, bytes], None] | None
    times: int = 1
    forward: bool = False
    read: bool = True


@dataclass
class FaultyProxy:
    """Forwards to a server; `faults` come first, `seen` has every request."""

    upstream: int
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def did(self, method: str, part: str = "") -> list[tuple[str, str, str]]:
        """Return the requests (method, path, access key) of a method."""
        return [one for one in self.seen if one[0] == method and part in one[1]]

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault of a request, once as often as it says."""
        for fault in self.faults:
            if fault.times and fault.method == method and fault.part in path:
                fault.times -= 1
                return fault
        return None


class Forward(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Serve requests until one of the two sides breaks off."""
        try:
            super().handle()
        except (ValueError, OSError):
            self.close_connection = True

    def handle_any(self) -> None:
        """Do what the fault says, or forward."""
        login = self.headers.get("Authorization", "")
        key = login.partition("Credential=")[2].partition("/")[0]
        self.proxy.seen.append((self.command, self.path, key))
        fault = self.proxy.take(self.command, self.path)
        act = fault.act if fault is not None else None
        if fault is not None and not fault.read:
            body = self.rfile.read(1 << 16)
        else:
            if "100-continue" in self.headers.get("Expect", ""):
                self.send_response_only(100)
                self.end_headers()
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = None
        if fault is None or act is None or fault.forward:
            answer = self.ask(body)
        if answer is None or act is not None:
            (act or reset)(self, body)
            self.close_connection = True
            return
        self.answer(*answer, cut=fault is not None)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes] | None:
        """Forward the request; None when the server is not there."""
        upstream = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
        try:
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            return answer, answer.read()
        except OSError:
            return None
        finally:
            upstream.close()

    def answer(self, answer: http.client.HTTPResponse, content: bytes, *, cut: bool) -> None:
        """Send the server's answer on, whole or half of it."""
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if cut:
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Say nothing; a client that breaks off is what we are here for."""


@contextmanager
def faulty(upstream: int) -> Iterator[FaultyProxy]:
    """Run a proxy in front of a port of this machine."""
    proxy = FaultyProxy(upstream)
    server = _Server(("127.0.0.1", 0), type("Bound", (Forward,), {"proxy": proxy}))
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
