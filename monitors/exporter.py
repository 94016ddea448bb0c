"""The exporter's HTTP server: /metrics as a page of collectors, /probe as probes at the scrape."""

import asyncio
import contextlib
import functools
import math
import resource
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop

from monitors.exposition import CONTENT_TYPE, exposition
from monitors.page import Page
from monitors.probes.modules import NamedModule
from monitors.probes.prober import Prober, explanation
from monitors.web import Answer, Connection, Request, Shared
from storewatch.core.errors import UnreachableError

DEFAULT_MODULE = "http_2xx"
_TIMEOUT_HEADER = b"x-prometheus-scrape-timeout-seconds"
_TIMEOUT_OFFSET_S = 0.5
"""Kept back of Prometheus' scrape timeout for writing the page. Source: blackbox_exporter."""


@functools.lru_cache(64)
def scrape_limit_s(header: str) -> float | None:
    """Return the seconds a scrape may take by Prometheus' timeout header; None for no bound.

    No header and 0 seconds are no bound. Source: blackbox_exporter.

    Raises:
        ValueError: it is no time.
    """
    with contextlib.suppress(ValueError):
        timeout_s = float(header or 0)
        if timeout_s == 0:
            return None
        if 0 < timeout_s < math.inf:
            return max(timeout_s - _TIMEOUT_OFFSET_S, timeout_s / 2)
    raise ValueError(
        f"X-Prometheus-Scrape-Timeout-Seconds: {header!r} is no time; write seconds, such as 10"
    )


class Routes:
    """What is answered: /metrics off the loop, /probe and /health on it.

    Args:
        page: what /metrics tells.
        prober: what /probe asks.
    """

    def __init__(self, page: Page, prober: Prober) -> None:
        self._page = page
        self._prober = prober
        # As many scrapes at once as have somebody to wait for; each is bound by the deadline.
        self._scrapes = ThreadPoolExecutor(8, thread_name_prefix="scrape")

    async def answer(self, request: Request) -> Answer:
        """Answer one request."""
        if request.method != b"GET":
            return Answer(b"ask with GET\n", 405)
        try:
            limit_s = scrape_limit_s(request.header(_TIMEOUT_HEADER))
        except ValueError as error:
            return Answer(f"{error}\n".encode(), 400)
        if request.path == "/probe":
            return await self._probe(request.query, limit_s)
        if request.path == "/metrics":
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._scrapes, self._metrics, limit_s)
        if request.path == "/health":
            return Answer(b"ok\n")
        return Answer(b"metrics are at /metrics, probes at /probe?target=...&module=...\n", 404)

    def _metrics(self, limit_s: float | None) -> Answer:
        return Answer(exposition(self._page.collect(limit_s)), 200, CONTENT_TYPE)

    async def _probe(self, query: Mapping[str, str], limit_s: float | None) -> Answer:
        name, target = query.get("module") or DEFAULT_MODULE, query.get("target")
        try:
            module = self._prober.module(name, query.get("hostname", ""))
        except ValueError as error:
            return Answer(f"{error}\n".encode(), 400)
        if not target:
            return Answer(b"the parameter target is missing; such as target=shop.example\n", 400)
        explain = query.get("debug") == "true"
        report = await self._prober.probe(target, module, limit_s, explain=explain)
        if explain:
            return Answer(explanation(report, module).encode())
        return Answer(report.text().encode(), 200, CONTENT_TYPE)


class Exporter:
    """The HTTP server over a page and its probes; `address` tells the port taken for port 0.

    Args:
        listen: host and port.
        page: what /metrics tells.
        modules: what /probe can do.
        home: the state folder, where files of modules lie.

    Raises:
        UnreachableError: the address is taken.
    """

    def __init__(
        self, listen: tuple[str, int], page: Page, modules: Mapping[str, NamedModule], home: Path
    ) -> None:
        family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        try:
            self._socket = socket.create_server(listen, family=family, backlog=1024)
        except OSError as error:
            raise UnreachableError(
                f"the exporter cannot listen on {listen[0]}:{listen[1]} ({error.strerror});"
                " set monitors.listen to a free host:port"
            ) from error
        self.address: tuple[str, int] = (listen[0], self._socket.getsockname()[1])
        self._page, self._modules, self._home = page, modules, home

    def serve(self, stop: threading.Event) -> None:
        """Answer scrapes until `stop` is set."""
        loop = uvloop.new_event_loop()
        ended = asyncio.Event()
        thread = threading.Thread(
            target=lambda: loop.run_until_complete(self._serve(ended)), daemon=True
        )
        thread.start()
        stop.wait()
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()

    async def _serve(self, ended: asyncio.Event) -> None:
        prober = Prober(self._modules, self._home)
        routes = Routes(self._page, prober)
        shared = Shared()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(routes.answer, shared), sock=self._socket
        )
        await ended.wait()
        server.close()
        for connection in list(shared.connected):
            connection.close()
        await asyncio.sleep(0)  # what was under way is cancelled first
        prober.close()


def allow_many_files() -> None:
    """Let this process have as many open files as it may: a probe and its scrape take one each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
