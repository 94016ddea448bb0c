"""HTTP probe at scrape time, with blackbox_exporter's metric names.

Source: blackbox_exporter's prober/http.go. Redirects are not followed. The whole probe, slow
headers included, ends at its deadline.
"""

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client.core import Metric

from monitors.families import gauge, value
from monitors.probes import certificate
from monitors.settings import HttpTarget

PHASES = ("resolve", "connect", "tls", "processing", "transfer")
_MAXIMUM_BODY_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class ProbeResult:
    """What one probe learnt. Times in seconds; `expiry` is Unix time; error empty on success."""

    success: bool = False
    error: str = ""
    status: int = 0
    http_version: float = 0.0
    body_bytes: int = 0
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    duration_s: float = 0.0
    tls_version: str = ""
    tls_verified: bool | None = None
    expiry: float | None = None
    body_mismatch: bool = False

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a phase."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] += time.monotonic() - started


class _Deadline:
    """A moment, as the timeout that is left for the next blocking call."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def apply(self, sock: socket.socket) -> None:
        """Bound the socket's next call. Raises TimeoutError when no time is left."""
        remaining_s = self._end - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError("timed out")
        sock.settimeout(remaining_s)


class _BoundReader(io.RawIOBase):
    """The reading side of a socket; every read has only what is left of the deadline."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        self._deadline.apply(self._sock)
        return self._sock.recv_into(buffer)  # type: ignore[arg-type]


class _BoundSocket:
    """What http.client needs of a socket to read a response from it."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._reader = _BoundReader(sock, deadline)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return the buffered reading side."""
        del mode
        return io.BufferedReader(self._reader)


def probe(target: HttpTarget, ca_file: Path | None) -> ProbeResult:
    """Ask one target once; never raises for what the target does.

    Args:
        target: what is asked, and when its answer is a success.
        ca_file: CA certificates to verify by; none: the system's.
    """
    result = ProbeResult()
    started = time.monotonic()
    try:
        _ask(target, ca_file, _Deadline(target.timeout), result)
    except TimeoutError:
        result.error = f"no answer within {target.timeout:g} s"
    except (OSError, http.client.HTTPException, ValueError) as error:
        result.error = f"{type(error).__name__}: {error}"
    result.duration_s = time.monotonic() - started
    result.success = not result.error
    return result


def _ask(
    target: HttpTarget, ca_file: Path | None, deadline: _Deadline, result: ProbeResult
) -> None:
    url = urlsplit(target.url)
    host, tls = url.hostname or "", url.scheme == "https"
    port = url.port or (443 if tls else 80)
    with result.phase("resolve"):
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = _connect(address, deadline, result)
    try:
        if tls:
            name = target.server_name or host
            sock = _secure(sock, name, ca_file, address, deadline, result)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        body = _exchange(sock, path, url.netloc.rpartition("@")[2], deadline, result)
    finally:
        sock.close()
    _judge(target, body, result)


def _connect(address: tuple, deadline: _Deadline, result: ProbeResult) -> socket.socket:  # type: ignore[type-arg]
    family, kind, protocol, _, destination = address
    sock = socket.socket(family, kind, protocol)
    try:
        deadline.apply(sock)
        with result.phase("connect"):
            sock.connect(destination)
    except BaseException:
        sock.close()
        raise
    return sock


def _secure(
    sock: socket.socket,
    name: str,
    ca_file: Path | None,
    address: tuple,  # type: ignore[type-arg]
    deadline: _Deadline,
    result: ProbeResult,
) -> ssl.SSLSocket:
    """Shake hands. A certificate that does not verify fails the probe; its date is read anyway."""
    try:
        with result.phase("tls"):
            deadline.apply(sock)
            secured = certificate.context(ca_file).wrap_socket(sock, server_hostname=name)
    except ssl.SSLCertVerificationError:
        result.tls_verified = False
        sock.close()
        with _connect(address, deadline, ProbeResult()) as second:
            deadline.apply(second)
            unverified = certificate.unverified_context()
            with unverified.wrap_socket(second, server_hostname=name) as untrusted:
                result.expiry = certificate.expiry(untrusted)
        raise
    result.tls_verified = True
    result.tls_version = secured.version() or ""
    result.expiry = certificate.expiry(secured)
    return secured


def _exchange(
    sock: socket.socket, path: str, host: str, deadline: _Deadline, result: ProbeResult
) -> bytes:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: storewatch-probe\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    with result.phase("processing"):
        deadline.apply(sock)
        sock.sendall(request.encode("latin-1"))
        response = http.client.HTTPResponse(_BoundSocket(sock, deadline))  # type: ignore[arg-type]
        response.begin()
    result.status = response.status
    result.http_version = response.version / 10
    with result.phase("transfer"):
        body = response.read(_MAXIMUM_BODY_BYTES)
    result.body_bytes = len(body)
    return body


def _judge(target: HttpTarget, body: bytes, result: ProbeResult) -> None:
    valid = target.valid_status_codes or range(200, 300)
    if result.status not in valid:
        result.error = f"status {result.status}"
        return
    text = body.decode("utf-8", "replace")
    for pattern in target.fail_if_body_not_matches_regexp:
        if not re.search(pattern, text):
            result.body_mismatch = True
            result.error = f"the body does not match {pattern!r}"


class HttpProbe:
    """One target as a collector; a target that does not answer is `probe_success` 0."""

    def __init__(self, target: HttpTarget, ca_file: Path | None) -> None:
        self.name = f"probe-{target.name}"
        self.timeout_s = target.timeout + 0.1
        self._target = target
        self._ca_file = ca_file
        self._labels = {"target": target.name, "group": target.group}

    def collect(self) -> Iterable[Metric]:
        """Probe now."""
        yield from self._families(probe(self._target, self._ca_file))

    def down(self) -> Iterable[Metric]:
        """Say that the probe did not succeed, such as when a name server hangs."""
        yield from self._families(ProbeResult(duration_s=self._target.timeout))

    def _families(self, result: ProbeResult) -> Iterable[Metric]:
        labels = self._labels
        for name, documentation, number in (
            ("probe_success", "Whether the probe succeeded.", float(result.success)),
            ("probe_duration_seconds", "Time the probe took.", result.duration_s),
            ("probe_http_status_code", "Status of the answer, 0 for none.", result.status),
            ("probe_http_version", "HTTP version of the answer.", result.http_version),
            ("probe_http_content_length", "Bytes of the body as sent.", result.body_bytes),
            ("probe_http_redirects", "Redirects followed: none are.", 0),
            (
                "probe_failed_due_to_regex",
                "Whether the body did not match.",
                float(result.body_mismatch),
            ),
            ("probe_http_ssl", "Whether TLS was spoken.", float(bool(result.tls_version))),
        ):
            yield value(name, documentation, number, **labels)
        yield gauge(
            "probe_http_duration_seconds",
            "Time of each phase of the request.",
            [({**labels, "phase": phase}, took) for phase, took in result.phases.items()],
        )
        yield from self._tls(result)

    def _tls(self, result: ProbeResult) -> Iterable[Metric]:
        if result.expiry is not None:
            yield value(
                "probe_ssl_earliest_cert_expiry",
                "Unix time at which the server's certificate expires.",
                result.expiry,
                **self._labels,
            )
        if result.tls_verified is not None:
            yield value(
                "storewatch_probe_tls_verified",
                "Whether the server's certificate verifies.",
                float(result.tls_verified),
                **self._labels,
            )
        if result.tls_version:
            yield value(
                "probe_tls_version_info",
                "The TLS version spoken.",
                1,
                **self._labels,
                version=result.tls_version.replace("v", " "),
            )
