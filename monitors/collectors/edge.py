"""The edge's requests, counted from its access log: by route, method and status, with latency.

A restart of the exporter goes on where the last scrape ended: offset and counts are one file,
written before the scrape is answered. So counters do not fall and no line is lost or counted
twice. Without that file (first start, or it was lost) counting begins at the log's present end, at
0, which Prometheus takes as an ordinary counter reset.
"""

import contextlib
import logging
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.core import HistogramMetricFamily, Metric

from monitors.collectors.follow import LogFollower, Position
from monitors.families import counter, value
from monitors.settings import EdgeSettings
from storewatch.store.files import write_atomic

_log = logging.getLogger(__name__)

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds in seconds. 0.2 and 2.0 are the service levels' thresholds and must stay."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_INITIAL_STATUSES = (200, 500, 502, 503, 504)


class EdgeCounts:
    """Plain dictionaries of counts.

    `requests` is keyed by (route, method, status); `latency` by (route, status class) and holds
    one count per bucket, one above the last bucket, and the sum of seconds.
    """

    def __init__(self, known: Iterable[str], maximum_routes: int) -> None:
        self.requests: dict[tuple[str, str, int], int] = {}
        self.latency: dict[tuple[str, str], list[float]] = {}
        self.malformed = 0
        self._routes: set[str] = set()
        self._maximum_routes = maximum_routes
        self._histograms: dict[tuple[str, str, int], list[float]] = {}
        for method, route in (entry.split(" ", 1) for entry in known):
            for status in _INITIAL_STATUSES:
                self._open(route, method, status)

    def add(self, lines: Iterable[bytes]) -> None:
        """Count lines of the log; a line that is none is counted as malformed."""
        loads, requests, histograms = orjson.loads, self.requests, self._histograms
        for line in lines:
            try:
                entry = loads(line)
                seconds = entry["request_time_s"]
                key = (entry["route"], entry["method"], entry["status"])
                bucket = bisect_left(BUCKETS_S, seconds)
                histogram = histograms.get(key)
                if histogram is None:  # labels not met before
                    key = self._admit(*key)
                    histogram = histograms[key]
            except (ValueError, KeyError, TypeError):
                histogram, seconds = None, 0.0
            if histogram is None or seconds < 0:
                self.malformed += 1
                continue
            requests[key] += 1
            histogram[bucket] += 1
            histogram[-1] += seconds

    def to_state(self) -> dict[str, Any]:
        """Return the counts in a form that JSON can hold."""
        return {
            "requests": [[*key, count] for key, count in self.requests.items()],
            "latency": [[*key, counts] for key, counts in self.latency.items()],
            "malformed": self.malformed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over counts of `to_state`.

        Raises:
            ValueError: they were counted into other buckets.
        """
        for route, status_class, counts in state["latency"]:
            if len(counts) != len(BUCKETS_S) + 2:
                raise ValueError("it was written with other buckets")
            self.latency.setdefault((route, status_class), [])[:] = counts  # shared by series
        for route, method, status, count in state["requests"]:
            self._open(route, method, status)
            self.requests[route, method, status] = count
        self.malformed = state["malformed"]

    def _admit(self, route: Any, method: Any, status: Any) -> tuple[str, str, int]:
        """Return the labels to count a request under, made to fit the bounds, and open its series.

        Raises:
            ValueError: they are no labels of a request.
        """
        if not isinstance(route, str) or type(status) is not int or not 100 <= status <= 599:
            raise ValueError("no route or no status")
        if route not in self._routes and len(self._routes) >= self._maximum_routes:
            route = "other"
        key = (route, method if method in METHODS else "other", status)
        self._open(*key)
        return key

    def _open(self, route: str, method: str, status: int) -> None:
        key, latency_key = (route, method, status), (route, f"{status // 100}xx")
        self._routes.add(route)
        self.requests.setdefault(key, 0)
        self._histograms[key] = self.latency.setdefault(latency_key, [0.0] * (len(BUCKETS_S) + 2))


class EdgeCollector:
    """Follow the access log; each scrape reads what was written since the one before.

    Args:
        settings: known routes and bounds.
        log: the log's path.
        state_file: where offset and counts are kept; its folder exists.
    """

    name = "edge"

    def __init__(self, settings: EdgeSettings, log: Path, state_file: Path) -> None:
        self.timeout_s = settings.timeout
        self._maximum_bytes = settings.maximum_bytes
        self._state_file = state_file
        self._counts = EdgeCounts(settings.routes, settings.maximum_routes)
        self._follower = LogFollower(log, self._restore())

    def collect(self) -> Iterable[Metric]:
        """Read the new lines and return all counts."""
        try:
            read_bytes = 0
            for lines, size_bytes in self._follower.batches():
                self._counts.add(lines)
                read_bytes += size_bytes
                if read_bytes >= self._maximum_bytes:
                    break
        finally:  # what was counted is kept even where the log broke off
            self._save()
        yield value("storewatch_edge_up", "Whether the access log can be read.", 1)
        yield value(
            "storewatch_edge_backlog_bytes",
            "Bytes of the access log that are not counted yet.",
            self._follower.backlog_bytes(),
        )
        yield counter(
            "storewatch_edge_malformed_lines",
            "Lines of the access log that could not be understood.",
            [({}, self._counts.malformed)],
        )
        yield self._requests()
        yield self._latency()

    def down(self) -> Iterable[Metric]:
        """Say that the log cannot be read."""
        yield value("storewatch_edge_up", "Whether the access log can be read.", 0)

    def _requests(self) -> Metric:
        return counter(
            "storewatch_edge_requests",
            "Requests answered by the edge.",
            [
                ({"route": route, "method": method, "status": str(status)}, count)
                for (route, method, status), count in self._counts.requests.items()
            ],
        )

    def _latency(self) -> Metric:
        family = HistogramMetricFamily(
            "storewatch_edge_request_duration_seconds",
            "Time from the first byte of the request to the last of the answer.",
            labels=("route", "status_class"),
        )
        bounds = [str(bound) for bound in BUCKETS_S] + ["+Inf"]
        for key, counts in self._counts.latency.items():
            total, buckets = 0.0, []
            for bound, count in zip(bounds, counts[:-1], strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric(key, buckets, sum_value=counts[-1])
        return family

    def _restore(self) -> Position | None:
        try:
            state = orjson.loads(self._state_file.read_bytes())
            position = Position(**state["position"])
            self._counts.restore(state["counts"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is of no use (%s); counting begins at 0", self._state_file, error)
            return None
        return position

    def _save(self) -> None:
        position = self._follower.position
        if position is None:
            return
        state = {
            "position": {"inode": position.inode, "offset": position.offset},
            "counts": self._counts.to_state(),
        }
        with contextlib.suppress(OSError):  # a full disk must not hide the shop's errors
            write_atomic(self._state_file, orjson.dumps(state), mode=0o600)
