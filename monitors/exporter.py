"""The exporter: one page of metrics, asked of all collectors at once, each within its own time."""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from monitors.families import Collector, gauge, merge
from storewatch.core.errors import UnreachableError

_log = logging.getLogger(__name__)

_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
_TIMEOUT_OFFSET_S = 0.5
"""Kept back of Prometheus' scrape timeout for writing the page. Source: blackbox_exporter."""


@dataclass(slots=True)
class _Run:
    """One call of a collector in its own thread."""

    started: float
    done: threading.Event = field(default_factory=threading.Event)
    families: list[Metric] | None = None
    error: str = ""
    duration_s: float = 0.0


class Slot:
    """One collector and at most one run of it: a stuck backend holds one thread, never more."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._was_up: bool | None = None

    def start(self) -> _Run:
        """Return the run in flight, begun now unless one is still under way."""
        with self._lock:
            if self._run is None or self._run.done.is_set():
                self._run = _Run(time.monotonic())
                threading.Thread(target=self._collect, args=(self._run,), daemon=True).start()
            return self._run

    def result(self, run: _Run, deadline: float) -> tuple[list[Metric], bool, float]:
        """Wait for a run until its own timeout or the deadline (monotonic), whichever is first.

        Returns:
            The families (those of `down()` after a failure), success, and the seconds it took.
        """
        until = min(run.started + self.collector.timeout_s, deadline)
        finished = run.done.wait(max(0.0, until - time.monotonic()))
        if finished and run.families is not None:
            self._note(True, "")
            return run.families, True, run.duration_s
        waited_s = time.monotonic() - run.started
        self._note(False, run.error if finished else f"no answer within {waited_s:.1f} s")
        return list(self.collector.down()), False, run.duration_s if finished else waited_s

    def _collect(self, run: _Run) -> None:
        try:
            run.families = list(self.collector.collect())
        except Exception as error:  # noqa: BLE001 - whatever a backend does, the exporter lives
            run.error = f"{type(error).__name__}: {error}".strip().replace("\n", " ")
        run.duration_s = time.monotonic() - run.started
        run.done.set()

    def _note(self, up: bool, reason: str) -> None:
        if up != self._was_up:
            if not up:
                _log.warning("%s: %s", self.collector.name, reason)
            elif self._was_up is not None:
                _log.info("%s: answers again", self.collector.name)
            self._was_up = up


class Page:
    """All collectors as one registry: `collect()` runs them in parallel.

    Args:
        collectors: what is asked.
        deadline_s: the longest that one page takes.
    """

    def __init__(self, collectors: Sequence[Collector], deadline_s: float) -> None:
        names = [c.name for c in collectors]
        assert len(set(names)) == len(names), f"collectors share a name: {names}"
        self._slots = [Slot(c) for c in collectors]
        self._deadline_s = deadline_s

    def collect(self, limit_s: float | None = None) -> Iterable[Metric]:
        """Return the merged families of all collectors and how each of them fared."""
        limit_s = self._deadline_s if limit_s is None else min(limit_s, self._deadline_s)
        deadline = time.monotonic() + limit_s
        runs = [(slot, slot.start()) for slot in self._slots]
        families: list[Metric] = []
        success, duration = [], []
        for slot, run in runs:
            found, ok, seconds = slot.result(run, deadline)
            families.extend(found)
            labels = {"collector": slot.collector.name}
            success.append((labels, float(ok)))
            duration.append((labels, seconds))
        families.append(
            gauge("storewatch_collector_success", "Whether the collector answered.", success)
        )
        families.append(
            gauge("storewatch_collector_duration_seconds", "Time the collector took.", duration)
        )
        families.extend(PROCESS_COLLECTOR.collect())
        return merge(families)


class _BoundPage:
    """A page with the time that this scrape leaves, in the form that encoders ask for."""

    def __init__(self, page: Page, limit_s: float | None) -> None:
        self._page = page
        self._limit_s = limit_s

    def collect(self) -> Iterable[Metric]:
        return self._page.collect(self._limit_s)


def scrape_limit_s(header: str | None) -> float | None:
    """Return the seconds a scrape may take by Prometheus' timeout header; None without one."""
    try:
        timeout_s = float(header or "")
    except ValueError:
        return None
    return max(timeout_s - _TIMEOUT_OFFSET_S, timeout_s / 2) if timeout_s > 0 else None


def _handler(page: Page) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        server_version = "storewatch"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._metrics()
            elif path == "/health":
                self._answer(200, b"ok\n", "text/plain; charset=utf-8")
            else:
                self._answer(404, b"metrics are at /metrics\n", "text/plain; charset=utf-8")

        def _metrics(self) -> None:
            encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
            bound: Any = _BoundPage(page, scrape_limit_s(self.headers.get(_TIMEOUT_HEADER)))
            self._answer(200, encoder(bound), content_type)

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            _log.debug(format, *args)

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's
        _log.debug("a scrape was broken off", exc_info=True)


class Exporter:
    """The HTTP server over a page; `address` tells the port that was taken for port 0."""

    def __init__(self, listen: tuple[str, int], page: Page) -> None:
        try:
            self._server = _Server(listen, _handler(page))
        except OSError as error:
            raise UnreachableError(
                f"the exporter cannot listen on {listen[0]}:{listen[1]} ({error.strerror});"
                " set monitors.listen to a free host:port"
            ) from error
        self.address: tuple[str, int] = (listen[0], self._server.server_address[1])

    def serve(self, stop: threading.Event) -> None:
        """Answer scrapes until `stop` is set."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        stop.wait()
        self._server.shutdown()
        self._server.server_close()


def serve(
    listen: tuple[str, int],
    collectors: Sequence[Collector],
    stop: threading.Event,
    *,
    deadline_s: float,
) -> None:
    """Serve the collectors' metrics on /metrics until `stop` is set.

    Raises:
        UnreachableError: the address is taken.
    """
    Exporter(listen, Page(collectors, deadline_s)).serve(stop)
