"""What 100 service level objectives cost: a Prometheus with their rules beside one without."""

import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import requests
import yaml

from alerting.rules import render_rules
from alerting.settings import AlertSettings
from benchmarks.figure import Figure
from storewatch.core.targets import Target
from storewatch.tools import find_program, working_folder

_SLOS = 100
_INTERVAL_S = 15
_HISTORY_S = 30 * 86400
_SETTLE_S, _MEASURE_S = 20, 60
_ROUTES, _CODES = 3, ("200", "302", "404", "500")
_JOB = "bench"

Started = tuple[str, psutil.Process]
"""Address and process of a Prometheus."""


def slo_eval_core_ratio() -> Figure:
    """Measure the share of a core that the rules of 100 SLOs take, evaluated every 15 s.

    Each SLO reads 12 series and has 30 days of history; both Prometheus scrape the same 1 200
    series, and CPU is taken over the same minute.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        exporter, open_exporter = stack.enter_context(_exporter())
        blocks = _history(folder / "loader", exporter)
        (folder / "rules.yml").write_text(_rules(folder))
        started = []
        for kind, rules in (("with", [str(folder / "rules.yml")]), ("without", [])):
            shutil.copytree(blocks, folder / kind / "data")
            config = {"scrape_configs": _scraped(exporter), "rule_files": rules}
            started.append(stack.enter_context(_prometheus(folder / kind, config)))
        open_exporter.set()
        time.sleep(_SETTLE_S)
        _assert_evaluated(started[0][0])
        before = [_cpu_s(process) for _, process in started]
        begin = time.monotonic()
        time.sleep(_MEASURE_S)
        elapsed = time.monotonic() - begin
        used = [_cpu_s(p) - b for (_, p), b in zip(started, before, strict=True)]
    own, without = (used[0] - used[1]) / elapsed, used[1] / elapsed
    name, peer = "slo_eval_core_ratio", "the same Prometheus without the rules"
    return Figure(name, own, "cores", peer, without, Target("<=", 0.05), absolute=True)


def _scraped(exporter: str) -> list[dict[str, object]]:
    return [{"job_name": _JOB, "static_configs": [{"targets": [exporter]}]}]


def _history(folder: Path, exporter: str) -> Path:
    """Return a folder with the block that holds the history, as Prometheus itself writes it."""
    (folder / "data").mkdir(parents=True)
    # Blocks of 70 days: the head takes history in any order, and is written out in one piece.
    options = ["--storage.tsdb.min-block-duration=70d", "--storage.tsdb.max-block-duration=70d"]
    options += ["--web.enable-remote-write-receiver", "--web.enable-admin-api"]
    with _prometheus(folder, {}, *options) as (address, _):
        _write_history(address, exporter)
        answer = requests.post(f"{address}/api/v1/admin/tsdb/snapshot", timeout=60).json()
    return folder / "data" / "snapshots" / str(answer["data"]["name"])


def _metrics() -> Iterator[tuple[str, str, str]]:
    """Return SLO, route and code of every series."""
    for slo in range(_SLOS):
        for route in range(_ROUTES):
            for code in _CODES:
                yield f"s{slo:03}", f"/{route}", code


@contextmanager
def _exporter() -> Iterator[tuple[str, threading.Event]]:
    """Serve counters that grow with the time, once it is opened; return host:port and that."""
    opened = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            now = time.time()
            if not opened.is_set():
                self.send_error(503)
                return
            lines = [
                f'bench_requests_total{{service="{service}",route="{route}",code="{code}"}}'
                f" {_count(code, now):.0f}\n"
                for service, route, code in _metrics()
            ]
            body = "".join(lines).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", opened
    finally:
        server.shutdown()
        server.server_close()


def _count(code: str, now: float) -> float:
    return (now % 1e7) * (0.01 if code == "500" else 20)


@contextmanager
def _prometheus(folder: Path, config: dict[str, object], *options: str) -> Iterator[Started]:
    """Run a Prometheus over the data of a folder."""
    every = {"scrape_interval": f"{_INTERVAL_S}s", "evaluation_interval": f"{_INTERVAL_S}s"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": every, **config}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program = find_program("prometheus")
    argv = [
        str(program),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=90d",
        f"--web.listen-address={address}",
        *options,
    ]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(argv, cwd=working_folder(program), stdout=log, stderr=log)
    try:
        _await(f"http://{address}/-/ready", child)
        yield f"http://{address}", psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(30)


def _rules(folder: Path) -> str:
    """Return the rules that 100 SLOs of a Sloth file become."""
    slos = [
        {
            "name": name,
            "objective": 99.9,
            "sli": {
                "events": {
                    "error_query": f"sum(rate({bad}[{{{{.window}}}}]))",
                    "total_query": f"sum(rate({total}[{{{{.window}}}}]))",
                }
            },
        }
        for name, bad, total in (
            (
                f"s{number:03}",
                f'bench_requests_total{{service="s{number:03}",code=~"5.."}}',
                f'bench_requests_total{{service="s{number:03}"}}',
            )
            for number in range(_SLOS)
        )
    ]
    path = folder / "slos.yaml"
    path.write_text(yaml.safe_dump({"version": "prometheus/v1", "service": _JOB, "slos": slos}))
    prometheus = {"evaluation_interval": f"{_INTERVAL_S}s"}
    settings = AlertSettings.model_validate({"slos": [str(path)], "prometheus": prometheus})
    return render_rules(settings)


def _await(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            requests.get(url, timeout=1).raise_for_status()
        except requests.RequestException:
            if child.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _assert_evaluated(address: str) -> None:
    """See that SLOs are evaluated, from all of their history.

    What is evaluated once in minutes is there for some of them: each minute has its share.
    """
    expected = {
        "count(slo:sli_error:ratio_rate1h)": _SLOS,
        "count(slo:sli_error:ratio_rate3d)": _SLOS * 0.2,
        "count(slo:period_events:count > 7e8)": _SLOS * 0.1,
    }
    deadline = time.monotonic() + 60
    for query, least in expected.items():
        while True:
            answer = requests.get(f"{address}/api/v1/query", params={"query": query}, timeout=10)
            result = answer.json()["data"]["result"]
            if result and float(result[0]["value"][1]) >= least:
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"{query}: {result}; expected at least {least}")
            time.sleep(1)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# Prometheus' remote write, so that 30 days need not be waited for.
# Source: "Prometheus Remote-Write 1.0 specification": protobuf WriteRequest in a snappy block.


def _write_history(address: str, exporter: str) -> None:
    """Write 30 days of the rates that budgets add up, and an hour of the counters."""
    now = int(time.time()) // 60 * 60
    moments = range(now - _HISTORY_S, now, int(AlertSettings().slo_interval))
    for name, rate in ((b"slo:sli_errors:rate5m", 0.05), (b"slo:sli_events:rate5m", 300.05)):
        samples = b"".join(_sample(moment, rate) for moment in moments)
        for slo in range(_SLOS):
            own = f"s{slo:03}"
            labels = {"sloth_id": f"{_JOB}-{own}", "sloth_service": _JOB, "sloth_slo": own}
            _write(address, name, labels, samples)
    scrapes = range(now - 3600, now, _INTERVAL_S)
    counted = {
        code: b"".join(_sample(moment, _count(code, moment)) for moment in scrapes)
        for code in _CODES
    }
    for service, route, code in _metrics():
        target = {"instance": exporter, "job": _JOB}
        labels = {"code": code, **target, "route": route, "service": service}
        _write(address, b"bench_requests_total", labels, counted[code])


def _write(address: str, name: bytes, labels: dict[str, str], samples: bytes) -> None:
    named = [(b"__name__", name), *((k.encode(), v.encode()) for k, v in sorted(labels.items()))]
    series = b"".join(_field(1, _field(1, key) + _field(2, value)) for key, value in named)
    body = _field(1, series + samples)
    answer = requests.post(
        f"{address}/api/v1/write",
        data=_varint(len(body)) + b"\xfc" + struct.pack("<I", len(body) - 1) + body,
        headers={"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"},
        timeout=30,
    )
    answer.raise_for_status()


def _sample(moment_s: float, value: float) -> bytes:
    content = b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(int(moment_s * 1000))
    return _field(2, content)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
