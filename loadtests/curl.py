"""HTTP for virtual shoppers: libcurl's socket interface in gevent's loop.

Locust's own clients cost four to fifteen times as much per request, and what a generator spends on
itself it cannot ask of the shop. Source of the protocol between libcurl and an event loop:
curl_multi_socket_action(3).

A request whose kept connection died before an answer began is sent again by libcurl, a POST as
well: browsers do the same, and a checkout needs its idempotency key.

HTTP/1.1, so that shoppers do not share a connection; connections are kept open and reused by
whoever comes next; certificates are checked; redirects are followed, five at most.
"""

import errno
import math
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import certifi
import orjson
import pycurl
from gevent.hub import Waiter, get_hub
from requests.structures import CaseInsensitiveDict

_READ, _WRITE = 1, 2  # gevent's events of a socket
_EVENTS = {pycurl.POLL_IN: _READ, pycurl.POLL_OUT: _WRITE, pycurl.POLL_INOUT: _READ | _WRITE}
_MAXIMUM_BYTES = 8 * 1024 * 1024  # as journeys on a timer
_MAXIMUM_REDIRECTS = 5
_FORM = "application/x-www-form-urlencoded"
# What differs from one failure to the next of the same kind.
_COUNTED = re.compile(r"\d+ (?=ms\b|milliseconds|bytes|out of)")
# Descriptors of the process or of the machine, ports, memory of the kernel.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS}
_OPTIONS = "headers, json, data, params, allow_redirects"


class Transfers:
    """All transfers of a process; each blocks the greenlet that asked for it and no other."""

    def __init__(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._hub = get_hub()
        self._sockets: dict[int, Any] = {}
        self._timer: Any = self._hub.loop.timer(0)
        self._due = math.inf
        self._called = False
        self._waiting: dict[Any, Any] = {}

    def perform(self, handle: Any) -> None:
        """Run one transfer to its end.

        Raises:
            ConnectionError: there was no whole answer in time.
        """
        waiter = self._waiting[handle] = Waiter(self._hub)
        self._multi.add_handle(handle)
        try:
            problem = waiter.get()
        finally:
            if self._waiting.pop(handle, None) is not None:  # the shopper was ended
                self._multi.remove_handle(handle)
        if problem:
            exhausted = handle.getinfo(pycurl.OS_ERRNO) in _EXHAUSTED or not _can_open()
            raise ExhaustedError(problem) if exhausted else ConnectionError(problem)

    def close(self) -> None:
        """Close all connections; there will be no transfer any more."""
        self._multi.close()

    def _on_socket(self, what: int, number: int, _multi: Any, _data: Any) -> None:
        watcher = self._sockets.pop(number, None)
        if watcher is not None:
            if what != pycurl.POLL_REMOVE and watcher.events == _EVENTS[what]:
                self._sockets[number] = watcher
                return
            watcher.stop()
            watcher.close()  # never kept: the next socket may have the same number
        if what != pycurl.POLL_REMOVE:
            watcher = self._sockets[number] = self._hub.loop.io(number, _EVENTS[what])
            watcher.start(self._on_ready, number, pass_events=True)

    def _on_ready(self, events: int, number: int) -> None:
        self._go_on(
            number,
            (pycurl.CSELECT_IN if events & _READ else 0)
            | (pycurl.CSELECT_OUT if events & _WRITE else 0),
        )

    def _on_timer(self, after_ms: int) -> None:
        """Call libcurl back in time; too early is allowed, and it then says when again."""
        if after_ms == 0:
            if not self._called:
                self._called = True
                self._hub.loop.run_callback(self._on_call)
        elif after_ms > 0 and (due := time.monotonic() + after_ms / 1000) < self._due:
            self._due = due
            self._timer.stop()
            self._timer.close()
            self._timer = self._hub.loop.timer(after_ms / 1000)
            self._timer.start(self._on_due)

    def _on_call(self) -> None:
        self._called = False
        self._go_on(pycurl.SOCKET_TIMEOUT, 0)

    def _on_due(self) -> None:
        self._due = math.inf
        self._go_on(pycurl.SOCKET_TIMEOUT, 0)

    def _go_on(self, number: int, events: int) -> None:
        self._multi.socket_action(number, events)
        left = 1
        while left:
            left, done, failed = self._multi.info_read()
            for handle in done:
                self._end(handle, "")
            for handle, code, message in failed:
                self._end(handle, _COUNTED.sub("… ", message) or f"libcurl's error {code}")

    def _end(self, handle: Any, problem: str) -> None:
        waiter = self._waiting.pop(handle, None)
        if waiter is not None:  # its shopper was not ended by the one before
            self._multi.remove_handle(handle)
            waiter.switch(problem)


def _can_open() -> bool:
    """Tell whether there is a socket left: libcurl keeps the errno of connect, not of socket."""
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno not in _EXHAUSTED
    return True


class ExhaustedError(ConnectionError):
    """This machine has no socket left: its fault, not the shop's."""


class Response:
    """An answer, with what journeys may rely on."""

    __slots__ = ("_head", "content", "status_code")

    def __init__(self, status_code: int, head: list[bytes], content: bytes) -> None:
        self.status_code = status_code
        self.content = content
        self._head = head

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode(errors="replace")

    @property
    def headers(self) -> CaseInsensitiveDict[str]:
        """The headers of the last answer; the last of several with one name."""
        found = CaseInsensitiveDict[str]()
        for line in self._head:
            if line.startswith(b"HTTP/"):  # the answer after a redirect
                found.clear()
            name, _, value = line.decode("iso-8859-1").partition(":")
            if value:
                found[name] = value.strip()
        return found

    def json(self) -> Any:
        """Return the body decoded from JSON.

        Raises:
            ValueError: it is no JSON.
        """
        return orjson.loads(self.content)


class CurlSession:
    """What one shopper sends with: cookies of its own, a deadline for each request.

    Args:
        transfers: of this process.
        base_url: what paths are joined to.
        ca_file: CA certificates to verify the shop's by; None: the system's, else certifi's.
        timeout_s: for one request, redirects included.
    """

    def __init__(
        self, transfers: Transfers, base_url: str, ca_file: str | None, timeout_s: float
    ) -> None:
        self._transfers = transfers
        self._base_url = base_url.rstrip("/")
        self._curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.TIMEOUT_MS, int(timeout_s * 1000))
        curl.setopt(pycurl.COOKIEFILE, "")  # keep cookies in memory
        curl.setopt(pycurl.ACCEPT_ENCODING, "gzip, deflate")
        curl.setopt(pycurl.MAXREDIRS, _MAXIMUM_REDIRECTS)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.USERAGENT, "storewatch-load")
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.MAXFILESIZE, _MAXIMUM_BYTES)
        system = ssl.get_default_verify_paths().cafile
        curl.setopt(pycurl.CAINFO, ca_file or system or certifi.where())
        # What seldom changes is not set anew for each request: that took a tenth of its time.
        self._head, self._content = list[bytes](), list[bytes]()
        curl.setopt(pycurl.HEADERFUNCTION, self._head.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._content.append)
        self._posts, self._follows = False, True
        curl.setopt(pycurl.FOLLOWLOCATION, 1)

    def forget(self) -> None:
        """Begin as somebody who was never here."""
        self._curl.setopt(pycurl.COOKIELIST, "ALL")

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | str | bytes | None = None,
        params: Mapping[str, Any] | None = None,
        allow_redirects: bool = True,
        **unknown: Any,
    ) -> Response:
        """Send one request and return its answer.

        Raises:
            ConnectionError: there was no whole answer in time.
            TypeError: an option that is not known.
        """
        if unknown:
            raise TypeError(f"a load test's request has no {', '.join(unknown)}; use {_OPTIONS}")
        lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
        body = _body(json, data, lines)
        curl = self._curl
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        curl.setopt(pycurl.URL, self._base_url + path + query)
        if method == "GET" and self._posts:
            curl.setopt(pycurl.HTTPGET, 1)
        elif method != "GET":
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.POSTFIELDS, body)
        self._posts = method != "GET"
        curl.setopt(pycurl.HTTPHEADER, lines or None)  # pycurl would keep the last for []
        if bool(allow_redirects) != self._follows:
            self._follows = bool(allow_redirects)
            curl.setopt(pycurl.FOLLOWLOCATION, self._follows)
        self._head.clear()
        self._content.clear()
        self._transfers.perform(curl)
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        return Response(status, self._head.copy(), b"".join(self._content))


def _body(json: Any, data: Mapping[str, Any] | str | bytes | None, lines: list[str]) -> bytes:
    """Return the body and add its type to the header lines."""
    if json is not None:
        body, kind = orjson.dumps(json), "application/json"
    elif isinstance(data, Mapping):
        body, kind = urlencode(data, doseq=True).encode(), _FORM
    elif data is not None:
        return data.encode() if isinstance(data, str) else data
    else:
        return b""
    if not any(line.lower().startswith("content-type:") for line in lines):
        lines.append(f"Content-Type: {kind}")
    return body
