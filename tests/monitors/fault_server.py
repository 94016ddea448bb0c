"""One server with every fault: HTTP by path, TLS with good and bad certificates, TCP, DNS."""

import functools
import gzip
import socket
import socketserver
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import brotli  # type: ignore[import-untyped]
from fault_certificates import CERTIFICATES, make_certificates

HELLO = b"hello world\n"
BOMB_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Faults:
    """Where the servers listen."""

    http: int
    http6: int
    tls: dict[str, int]
    tcp: int
    starttls: int
    tls_only: int
    dns: int
    nobody: int
    folder: Path

    def fill(self, target: str) -> str:
        """Put ports into a target such as http://127.0.0.1:{http}/ok."""
        return target.format(
            http=self.http,
            http6=self.http6,
            tcp=self.tcp,
            starttls=self.starttls,
            tls_only=self.tls_only,
            dns=self.dns,
            nobody=self.nobody,
            **self.tls,
        )


class _Asked:
    """One request: method, path, headers in lower case, body."""

    def __init__(self, stream: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = stream.recv(65536)
            if not chunk:
                raise ConnectionError("closed")
            head += chunk
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = first.split(" ")
        pairs = (line.split(":", 1) for line in lines)
        self.headers = {name.lower(): value.strip() for name, value in pairs}
        length = int(self.headers.get("content-length", 0))
        while len(rest) < length:
            rest += stream.recv(65536)
        self.body = rest


def _answer(status: int, body: bytes = HELLO, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status} Status", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def _protected(asked: _Asked, wanted: str) -> bytes:
    return _answer(200 if asked.headers.get("authorization") == wanted else 401)


def _redirect(where: str, status: int = 302) -> Callable[[_Asked], bytes]:
    return lambda _asked: _answer(status, b"", f"Location: {where}")


@functools.cache
def bomb(compression: str) -> bytes:
    """Return 256 MB of zeros in a few hundred kilobytes, or less."""
    if compression == "br":
        return bytes(brotli.compress(b"\0" * BOMB_BYTES, quality=1))
    pack = zlib.compressobj(9, wbits=31 if compression == "gzip" else -15)
    parts = [pack.compress(b"\0" * (1 << 20)) for _ in range(BOMB_BYTES >> 20)]
    return b"".join([*parts, pack.flush()])


_BASIC = "Basic cHJvYmVyOnNlc2FtZQ=="  # prober:sesame
_PAGES: dict[str, Callable[[_Asked], bytes]] = {
    "/ok": lambda _: _answer(200, HELLO, "X-Shop: open", "Content-Type: text/plain"),
    "/empty": lambda _: _answer(204, b""),
    "/http10": lambda _: _answer(200, version="1.0"),
    "/modified": lambda _: _answer(200, HELLO, "Last-Modified: Sun, 01 Mar 2026 12:00:00 GMT"),
    "/post": lambda a: _answer(200 if (a.method, a.body) == ("POST", b"ping") else 405),
    "/headers": lambda a: _answer(200 if a.headers.get("x-probe") == "yes" else 400),
    "/host": lambda a: _answer(200 if a.headers["host"] == "shop.example" else 421),
    "/basic": lambda a: _protected(a, _BASIC),
    "/bearer": lambda a: _protected(a, "Bearer sesame"),
    "/once": _redirect("/ok"),
    "/twice": _redirect("/once", 301),
    "/loop": _redirect("/loop"),
    "/nowhere": _redirect("http://127.0.0.1:1/"),
    "/gzip": lambda _: _answer(200, gzip.compress(HELLO), "Content-Encoding: gzip"),
    "/bomb/gzip": lambda _: _answer(200, bomb("gzip"), "Content-Encoding: gzip"),
    "/bomb/deflate": lambda _: _answer(200, bomb("deflate"), "Content-Encoding: deflate"),
    "/bomb/br": lambda _: _answer(200, bomb("br"), "Content-Encoding: br"),
    "/cookie": lambda _: _answer(200, HELLO, "Set-Cookie: session=sesame"),
    "/gzip-or-406": lambda a: _PAGES[
        "/gzip" if a.headers.get("accept-encoding") == "gzip" else "/status/406"
    ](a),
    "/status/406": lambda _: _answer(406),
    "/latin": lambda _: _answer(200, b"\xff\xfe hello \x80\n"),
    "/large": lambda _: _answer(200, b"x" * (8 << 20)),
    "/huge-header": lambda _: _answer(200, HELLO, "X-Huge: " + "x" * (1 << 20)),
    "/many-headers": lambda _: _answer(200, HELLO, *(["X-Many: " + "x" * 1000] * 1000)),
    "/early": lambda _: _answer(200, b"x" * 1000)[:-900],
    "/garbage": lambda _: b"good day\r\n\r\n",
    "/silence": lambda _: b"",
    "/chunked": lambda _: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"6\r\nhello \r\n6\r\nworld\n\r\n0\r\n\r\n"
    ),
}


class _Http(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            asked = _Asked(self.request)
            if asked.path == "/hang":
                self.request.recv(1)  # until the prober gives up
            elif asked.path == "/drip":
                self._drip()
            elif asked.path.startswith("/status/"):
                self.request.sendall(_answer(int(asked.path.removeprefix("/status/"))))
            else:
                page = _PAGES.get(asked.path, lambda _: _answer(404))
                self.request.sendall(page(asked))
        except (OSError, ValueError):
            pass

    def _drip(self) -> None:
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        pause = threading.Event()
        while not pause.wait(0.05):
            self.request.sendall(b"x")


class _Greeting(socketserver.BaseRequestHandler):
    """Says who it is, echoes lines."""

    def handle(self) -> None:
        try:
            self.request.sendall(b"220 shop.example ready\r\n")
            while line := self.request.recv(1000):
                self.request.sendall(b"you said " + line)
        except OSError:
            pass


class _StartTls(socketserver.BaseRequestHandler):
    """Speaks as a mail server does until STARTTLS, and TLS after it."""

    def handle(self) -> None:
        try:
            self.request.sendall(b"220 mail ready\r\n")
            for reply in (b"250-mail\r\n250-STARTTLS\r\n250 OK\r\n", b"220 go ahead\r\n"):
                self.request.recv(1000)
                self.request.sendall(reply)
            context: ssl.SSLContext = self.server.context  # type: ignore[attr-defined]
            with context.wrap_socket(self.request, server_side=True) as secured:
                while secured.recv(1000):
                    secured.sendall(b"250 OK\r\n")
        except OSError:
            pass


class _Dns(socketserver.BaseRequestHandler):
    """Answers A with 192.0.2.1, refuses refused.example, knows no nothing.example."""

    def handle(self) -> None:
        query, channel = self.request
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        question, name = query[12 : at + 5], ".".join(labels)
        codes = {"nothing.example": 3, "refused.example": 5, "broken.example": 2}
        code = codes.get(name, 0)
        record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + bytes([192, 0, 2, 1])
        answers = record if code == 0 else b""
        head = struct.pack(
            ">HHHHHH", *struct.unpack(">H", query[:2]), 0x8180 | code, 1, bool(answers), 0, 0
        )
        channel.sendto(head + question + answers, self.client_address)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 100
    context: ssl.SSLContext | None = None
    wraps = False

    def get_request(self) -> tuple[socket.socket, object]:
        stream, address = super().get_request()
        stream.settimeout(10)
        if self.wraps and self.context is not None:
            stream = self.context.wrap_socket(
                stream, server_side=True, do_handshake_on_connect=False
            )
        return stream, address

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class _Server6(_Server):
    address_family = socket.AF_INET6


@contextmanager
def fault_server(folder: Path) -> Iterator[Faults]:
    """Run all servers on free ports while inside; `ca.pem` lies in the folder."""
    contexts = make_certificates(folder)
    with ExitStack() as stack:

        def run(server: socketserver.BaseServer) -> int:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return int(server.server_address[1])

        def secure(kind: str, handler: type[socketserver.BaseRequestHandler]) -> int:
            server = _Server(("127.0.0.1", 0), handler)
            server.context, server.wraps = contexts[kind], True
            return run(server)

        starttls = _Server(("127.0.0.1", 0), _StartTls)
        starttls.context = contexts["good"]
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            nobody = int(closed.getsockname()[1])
        yield Faults(
            http=run(_Server(("127.0.0.1", 0), _Http)),
            http6=run(_Server6(("::1", 0), _Http)),
            tls={kind: secure(kind, _Http) for kind in CERTIFICATES},
            tcp=run(_Server(("127.0.0.1", 0), _Greeting)),
            starttls=run(starttls),
            tls_only=secure("good", _Greeting),
            dns=run(socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Dns)),
            nobody=nobody,
            folder=folder,
        )
