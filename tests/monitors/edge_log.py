"""An access log of the edge, its lines, and the collector that follows it."""

import json
import os
import time
from pathlib import Path

from prometheus_client.core import Metric
from watching import one

from monitors.collectors.edge import EdgeCollector
from monitors.settings import EdgeSettings


def line(
    route: str = "/product/{id}", status: int = 200, seconds: float = 0.05, method: str = "GET"
) -> str:
    entry = {"route": route, "method": method, "status": status, "request_time_s": seconds}
    return json.dumps({"time": "2026-11-22T01:02:03.004Z", **entry, "bytes_sent": 10}) + "\n"


class Edge:
    """An access log and the collector that follows it."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.log = folder / "access.json"
        self.state = folder / "edge.json"
        self.settings = EdgeSettings(log=self.log, routes=("GET /product/{id}",), **settings)
        self.collector = self.restart()

    def restart(self) -> EdgeCollector:
        self.collector = EdgeCollector(self.settings, self.log, self.state)
        return self.collector

    def write(self, *lines: str) -> None:
        with self.log.open("a") as file:
            file.writelines(lines)

    def rotate(self) -> None:
        """Rename the log as nginx's operators do; what was written to it was some time ago."""
        self.log.rename(self.log.with_name("access.json.1"))
        os.utime(self.log.with_name("access.json.1"), (time.time() - 60,) * 2)

    def scrape(self) -> list[Metric]:
        return list(self.collector.collect())

    def count(self, **labels: str) -> float:
        return one(self.scrape(), "storewatch_edge_requests_total", **labels)


def stamped(number: int) -> str:
    """Return a line that no other line equals, not even in its first bytes."""
    return line().replace("01:02:03.004", f"{number:012d}")
