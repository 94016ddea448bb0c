"""Access-log lines per CPU-second: the edge collector, a metric call per line, and mtail."""

import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram

from benchmarks.figure import Figure, per_cpu_second
from monitors.collectors.edge import EdgeCollector
from monitors.settings import BUCKETS_S, EdgeSettings
from storewatch.core.errors import UnreachableError
from storewatch.core.targets import Target
from storewatch.tools import find_program

_LINES = 200_000
_FEWER = 20_000
_ROUNDS = 3
_ROUTES = ("/", "/api/front", "/api/products/{product_id}", "/api/cart", "/api/checkout")
_EMPTY = {"series": [], "malformed": 0}
_MTAIL_PROGRAM = Path(__file__).with_name("edge.mtail")


def _lines(count: int) -> Iterator[bytes]:
    """Return deterministic lines of the form that the reference shop's nginx writes."""
    chance = random.Random(18)
    for _ in range(count):
        entry = {
            "time": "2026-11-22T03:37:12.752+00:00",
            "method": "GET",
            "route": chance.choice(_ROUTES),
            "status": chance.choice((200, 200, 200, 404, 503)),
            "request_time_s": round(chance.expovariate(50), 3),
            "upstream_time_s": 0.006,
            "upstream": "127.0.0.1:18082",
            "request_id": f"{chance.getrandbits(128):032x}",
            "bytes_sent": chance.randrange(300, 9000),
        }
        yield json.dumps(entry, separators=(",", ":")).encode() + b"\n"


@contextmanager
def _log(count: int) -> Iterator[Path]:
    """Write a log of so many lines."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "access.json"
        with log.open("wb") as file:
            file.writelines(_lines(count))
        yield log


def _ours(log: Path) -> int:
    """Collect the whole log as the exporter does, page and state included; return the lines."""
    state = log.with_name("state.json")
    start = {"position": {"inode": log.stat().st_ino, "offset": 0}, "counts": _EMPTY}
    state.write_text(json.dumps(start))
    collector = EdgeCollector(EdgeSettings(log=log, maximum_bytes=2**40), log, state)
    families = {f.name: f for f in collector.collect()}
    return int(sum(s.value for s in families["storewatch_edge_requests"].samples))


def edge_lines_per_s() -> Figure:
    """Measure the edge collector from file to metrics beside a metric call per line."""
    registry = CollectorRegistry()
    requests = Counter("requests", "Requests.", ["route", "method", "status"], registry=registry)
    seconds = Histogram("s", "Seconds.", ["route", "status"], buckets=BUCKETS_S, registry=registry)

    def peers() -> int:
        with few.open("rb") as file:
            for line in file:
                entry = json.loads(line)
                requests.labels(entry["route"], entry["method"], entry["status"]).inc()
                seconds.labels(entry["route"], entry["status"]).observe(entry["request_time_s"])
        return _FEWER

    with _log(_LINES) as log, _log(_FEWER) as few:
        value, peer = per_cpu_second(lambda: _ours(log), peers)
    name, target = "prometheus_client per line", Target(">=", 350_000)
    return Figure("edge_lines_per_s", value, "lines/CPU-s", name, peer, target, absolute=True)


def edge_vs_mtail_ratio() -> Figure:
    """Measure the edge collector and mtail on one log, each from the file to its metrics."""
    best, peer = 0.0, 0.0
    with _log(_LINES) as log:
        for _ in range(_ROUNDS):
            before = time.process_time()
            assert _ours(log) == _LINES
            best = max(best, _LINES / (time.process_time() - before))
            try:
                peer = max(peer, _LINES / _mtail_cpu_s(log))
            except UnreachableError:
                break
    target = Target(">=", 5)
    return Figure("edge_vs_mtail_ratio", best, "lines/CPU-s", "mtail", peer or None, target)


def _mtail_cpu_s(log: Path) -> float:
    """Return the CPU seconds of mtail over the log, both in one go from its start to its end.

    Raises:
        UnreachableError: there is no mtail.
    """
    argv = [
        str(find_program("mtail")),
        "--one_shot",
        "--one_shot_format=prometheus",
        f"--progs={_MTAIL_PROGRAM}",
        f"--logs={log}",
    ]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, "mtail failed"
        output.seek(0)
        printed = output.read().decode()
    counts = [row.split()[-1] for row in printed.splitlines() if row.startswith("requests_total{")]
    assert sum(map(float, counts)) == _LINES, "mtail did not count every line"
    return usage.ru_utime + usage.ru_stime
