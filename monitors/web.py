"""A small HTTP/1.1 server on an asyncio loop: one line in, one answer out, connections kept.

Prometheus asks on connections that it keeps; at a thousand probes the server's own cost counts.
Measured per request: this 25 microseconds, uvicorn with a bare ASGI application 60.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

import httptools

from monitors.prompt import PromptFuture

_log = logging.getLogger(__name__)

TEXT = "text/plain; charset=utf-8"
_MOST_HEAD_BYTES = 64 * 1024
_MOST_WAITING = 16
"""Requests on one connection that wait for their turn."""
_IDLE_S = 300.0
_MOST_REMEMBERED = 4096
_LONGEST_REMEMBERED_BYTES = 2048
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; names of headers are in lower case, of a repeated parameter the first counts.

    Nobody changes it: it may be asked again.
    """

    method: bytes
    path: str
    query: dict[str, str]
    headers: dict[bytes, bytes]
    keep: bool

    def header(self, name: bytes) -> str:
        """Return a header by its name in lower case, "" without it."""
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(slots=True)
class Answer:
    """What is answered."""

    body: bytes
    status: int = 200
    content_type: str = TEXT

    def encoded(self, *, keep: bool) -> bytes:
        """Return the answer as it goes over the wire."""
        close = "" if keep else "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}\r\nContent-Type: {self.content_type}"
            f"\r\nContent-Length: {len(self.body)}\r\n{close}\r\n"
        )
        return head.encode("latin-1") + self.body


Handler = Callable[[Request], Coroutine[Any, None, Answer]]


class Shared:
    """What the connections of a server have in common: themselves, and requests known by bytes."""

    def __init__(self) -> None:
        self.connected: set[Connection] = set()
        self.requests: dict[bytes, Request] = {}

    def remember(self, data: bytes, request: Request) -> None:
        """Remember what the bytes of a whole request ask for."""
        if len(data) <= _LONGEST_REMEMBERED_BYTES:
            if len(self.requests) >= _MOST_REMEMBERED:
                self.requests.clear()
            self.requests[data] = request


class Connection(asyncio.Protocol):
    """One client; its requests are answered in turn, and given up when it goes away.

    A request that was asked before, byte by byte, is not parsed again: Prometheus asks the same
    ones for ever. And a handler is a coroutine that is driven here and not by a task, which would
    wake through more turns of the loop: it awaits futures, and gives what needs a task one.
    """

    def __init__(self, handler: Handler, shared: Shared) -> None:
        self._handler = handler
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._parsed: list[Request] = []
        self._asked: deque[Request] = deque()
        self._running: Coroutine[Any, None, Answer] | None = None
        self._keep = True
        self._active_at = self._loop.time()
        self._partial = False
        self._read_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._shared.connected.add(self)
        self._loop.call_later(_IDLE_S, self._close_when_idle)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the base's
        self._shared.connected.discard(self)
        self._asked.clear()
        if self._running is not None:
            running, self._running = self._running, None
            running.close()

    def close(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._partial:
            known = self._shared.requests.get(data)
            if known is not None:
                self._take(known)
                return
        whole = not self._partial
        self._read_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, ValueError) as error:
            self._refuse(str(error))
            return
        if self._read_bytes > _MOST_HEAD_BYTES:
            self._refuse("the request is too long")
        elif whole and not self._partial and len(self._parsed) == 1:
            self._shared.remember(data, self._parsed[0])
        parsed, self._parsed = self._parsed, []
        for request in parsed:
            self._take(request)

    def _refuse(self, reason: str) -> None:
        self._transport.write(Answer(f"{reason}\n".encode(), 400).encoded(keep=False))
        self._transport.close()

    def on_message_begin(self) -> None:
        self._partial = True
        self._url = b""
        self._headers: dict[bytes, bytes] = {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_message_complete(self) -> None:
        self._partial = False
        self._read_bytes = 0
        path, _, query = self._url.decode("latin-1").partition("?")
        found = parse_qs(query, keep_blank_values=True)
        parameters = {name: values[0] for name, values in found.items()}
        method, keep = self._parser.get_method(), self._parser.should_keep_alive()
        self._parsed.append(Request(method, unquote(path), parameters, self._headers, keep))

    def _take(self, request: Request) -> None:
        if self._running is None:
            self._begin(request)
        elif len(self._asked) < _MOST_WAITING:
            self._asked.append(request)
        else:
            self._transport.abort()

    def _begin(self, request: Request) -> None:
        self._keep = request.keep
        self._running = self._handler(request)
        self._advance(None)

    def _advance(self, _awaited: object) -> None:
        """Drive the handler until it awaits something, or answer."""
        if self._running is None:  # the client has gone
            return
        try:
            awaited = self._running.send(None)
        except StopIteration as ended:
            answer = ended.value
        except Exception:  # noqa: BLE001 - one request never ends the others
            _log.exception("a request cannot be answered")
            answer = Answer(b"the exporter failed; its log says why\n", 500)
        else:
            awaited._asyncio_future_blocking = False  # as a task does
            if isinstance(awaited, PromptFuture):
                awaited.resume = self._advance
            else:
                awaited.add_done_callback(self._advance)
            return
        self._running = None
        self._active_at = self._loop.time()
        self._transport.write(answer.encoded(keep=self._keep))
        if not self._keep:
            self._transport.close()
        elif self._asked:
            self._begin(self._asked.popleft())

    def _close_when_idle(self) -> None:
        if self not in self._shared.connected:
            return
        idle_s = self._loop.time() - self._active_at if self._running is None else 0.0
        if idle_s >= _IDLE_S:
            self._transport.close()
        else:
            self._loop.call_later(_IDLE_S - idle_s, self._close_when_idle)
