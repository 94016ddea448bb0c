"""Helpers of the probes' tests: modules, our exporter, the real one, and what they answer."""

import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from fault_server import Faults

from monitors.exporter import Exporter
from monitors.page import Page
from monitors.probes.modules import load_modules
from storewatch.tools import find_program

Samples = dict[str, float]


def http(timeout: str = "2s", **keys: Any) -> dict[str, Any]:
    settings = {"preferred_ip_protocol": "ip4", **keys}
    return {"prober": "http", "timeout": timeout, "http": settings}


def tcp(*steps: dict[str, Any], **keys: Any) -> dict[str, Any]:
    settings = {"preferred_ip_protocol": "ip4", "query_response": list(steps), **keys}
    return {"prober": "tcp", "timeout": "2s", "tcp": settings}


def dns(name: str, **keys: Any) -> dict[str, Any]:
    settings = {"query_name": name, "query_type": "A", "preferred_ip_protocol": "ip4", **keys}
    return {"prober": "dns", "timeout": "2s", "dns": settings}


def secured(**keys: Any) -> dict[str, Any]:
    return {"tls_config": {"ca_file": "CA", **keys}}


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of an exporter."""

    status: int
    text: str

    @property
    def samples(self) -> Samples:
        """Its metrics, with their labels as part of the name."""
        lines = self.text.splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(number) for name, _, number in pairs}

    def part(self, title: str) -> str:
        """One part of an explanation, without its title."""
        return self.text.partition(f"{title}:\n")[2].partition("\n\n\n")[0]


def ask(exporter: str, headers: dict[str, str] | None = None, **query: str) -> Answered:
    """Ask an exporter for a probe, as Prometheus does."""
    url = f"{exporter}/probe?{urllib.parse.urlencode(query)}"
    try:
        request = urllib.request.Request(url, headers=headers or {})
        with urllib.request.urlopen(request, timeout=15) as answer:
            return Answered(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answered(error.code, error.read().decode())


def write_modules(folder: Path, faults: Faults, modules: dict[str, dict[str, Any]]) -> Path:
    """Write a module file; where a module says CA, it means that of the fault server."""
    file = folder / "modules.yml"
    content = yaml.safe_dump({"modules": modules})
    file.write_text(content.replace(": CA\n", f": {faults.folder}/ca.pem\n"))
    return file


@contextmanager
def exporter(modules: Path, prepare: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Run our exporter while inside; gives its address. Its thread is prepared first."""
    stop = threading.Event()
    made = Exporter(("127.0.0.1", 0), Page([], 1.0), load_modules(modules), modules.parent)
    thread = threading.Thread(target=lambda: (prepare(), made.serve(stop)))
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.address[1]}"
    finally:
        stop.set()
        thread.join()


@contextmanager
def blackbox_exporter(modules: Path, *options: str) -> Iterator[int]:
    """Run the real blackbox_exporter while inside; gives its port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    log = modules.parent / f"blackbox-{port}.log"
    argv = [
        str(find_program("blackbox_exporter")),
        f"--config.file={modules}",
        f"--web.listen-address=127.0.0.1:{port}",
        *options,
    ]
    with log.open("wb") as output:
        child = subprocess.Popen(argv, stdout=output, stderr=output)
    try:
        _await_port(port, child, log)
        yield port
    finally:
        child.terminate()
        child.wait(10)


def _await_port(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    pause, began = threading.Event(), time.monotonic()
    while True:
        assert child.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() - began < 20, log.read_text()[-2000:]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            pause.wait(0.05)
        else:
            return
