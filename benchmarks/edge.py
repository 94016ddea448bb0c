"""Access-log lines per CPU-second: plain dictionaries against a metric call per line."""

import json
import random

from prometheus_client import CollectorRegistry, Counter, Histogram

from benchmarks.figure import Figure, per_cpu_second
from monitors.collectors.edge import BUCKETS_S, EdgeCounts
from storewatch.core.targets import Target

_LINES = 40_000
_ROUTES = ("/", "/api/front", "/api/products/{product_id}", "/api/cart", "/api/checkout")


def _log() -> list[bytes]:
    """Return deterministic lines of the form that the reference shop's nginx writes."""
    chance = random.Random(18)
    return [
        json.dumps(
            {
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
        ).encode()
        for _ in range(_LINES)
    ]


def edge_lines_per_s() -> Figure:
    """Measure the edge collector's parser beside prometheus_client's own `observe` per line.

    The target of 3 is our own: below it the plain dictionaries would not be worth their code.
    """
    lines = _log()
    registry = CollectorRegistry()
    requests = Counter("requests", "Requests.", ["route", "method", "status"], registry=registry)
    seconds = Histogram("s", "Seconds.", ["route", "status"], buckets=BUCKETS_S, registry=registry)

    def ours() -> int:
        EdgeCounts([], 200).add(lines)
        return len(lines)

    def peers() -> int:
        for line in lines:
            entry = json.loads(line)
            requests.labels(entry["route"], entry["method"], entry["status"]).inc()
            seconds.labels(entry["route"], entry["status"]).observe(entry["request_time_s"])
        return len(lines)

    value, peer = per_cpu_second(ours, peers)
    name = "prometheus_client per line"
    return Figure("edge_lines_per_s", value, "lines/CPU-s", name, peer, Target(">=", 3))
