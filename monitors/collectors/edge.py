"""The edge's requests, counted from its access log: by route, method and status, with latency.

A restart of the exporter goes on where the last scrape ended: offset and counts are one file,
written before the scrape is answered. So counters do not fall and no line is lost or counted
twice. Without that file (first start, or it was lost) counting begins at the log's present end, at
0, which Prometheus takes as an ordinary counter reset.
"""

import contextlib
import itertools
import logging
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.core import HistogramMetricFamily, Metric

from monitors.collectors.follow import LogFollower, Position
from monitors.families import counter, value
from monitors.settings import BUCKETS_S, EdgeSettings
from storewatch.store.files import write_atomic

_log = logging.getLogger(__name__)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_INITIAL_STATUSES = (200, 500, 502, 503, 504)
_NONE = (0.0,) * (len(BUCKETS_S) + 2)
_SERIES_PER_ROUTE = 20
"""Series of requests, by this number and that of routes; what comes beyond is counted together."""


class EdgeCounts:
    """Plain dictionaries of counts.

    `series` is keyed by (route, method, status) and holds one count per bucket, one above the last
    bucket, and the sum of seconds.
    """

    def __init__(self, known: Iterable[str], maximum_routes: int) -> None:
        self.series: dict[tuple[str, str, int], list[float]] = {}
        self.malformed = 0
        self._routes: set[str] = set()
        self._maximum_routes = maximum_routes
        for method, route in (entry.split(" ", 1) for entry in known):
            for status in _INITIAL_STATUSES:
                self._open(route, method, status)

    def add(self, block: bytes) -> None:
        """Count lines of the log; a line that is none is counted as malformed."""
        series, bounds = self.series, BUCKETS_S
        for entry in _entries(block):
            try:
                seconds = entry["request_time_s"]
                counts = series[entry["route"], entry["method"], entry["status"]]
                bucket = bisect_left(bounds, seconds)
            except (KeyError, TypeError):
                self._add_unusual(entry)
                continue
            if seconds < 0:
                self.malformed += 1
                continue
            counts[bucket] += 1
            counts[-1] += seconds

    def to_state(self) -> dict[str, Any]:
        """Return the counts in a form that JSON can hold."""
        series = [[*key, counts] for key, counts in self.series.items()]
        return {"series": series, "malformed": self.malformed}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over counts of `to_state`.

        Raises:
            ValueError: they were counted into other buckets.
        """
        for route, method, status, counts in state["series"]:
            if len(counts) != len(BUCKETS_S) + 2:
                raise ValueError("it was written with other buckets")
            self._open(route, method, status)[:] = counts
        self.malformed = state["malformed"]

    def _add_unusual(self, entry: Any) -> None:
        """Count a line with labels not met before, or one that is none."""
        counts, bucket, seconds = None, 0, 0.0
        with contextlib.suppress(KeyError, TypeError):
            seconds = entry["request_time_s"]
            bucket = bisect_left(BUCKETS_S, seconds)
            if seconds >= 0:
                counts = self._admit(entry["route"], entry["method"], entry["status"])
        if counts is None:
            self.malformed += 1
            return
        counts[bucket] += 1
        counts[-1] += seconds

    def _admit(self, route: Any, method: Any, status: Any) -> list[float] | None:
        """Return the series to count a request in, its labels made to fit the bounds.

        None: they are no labels of a request.
        """
        if not isinstance(route, str) or type(status) is not int or not 100 <= status <= 599:
            return None
        if route not in self._routes and len(self._routes) >= self._maximum_routes:
            route = "other"
        method = method if method in METHODS else "other"
        most = _SERIES_PER_ROUTE * self._maximum_routes
        if (route, method, status) not in self.series and len(self.series) >= most:
            route, method, status = "other", "other", status // 100 * 100
        return self._open(route, method, status)

    def _open(self, route: str, method: str, status: int) -> list[float]:
        self._routes.add(route)
        return self.series.setdefault((route, method, status), [0.0] * (len(BUCKETS_S) + 2))


def _entries(block: bytes) -> Iterable[Any]:
    """Return the lines as JSON values, None for those that are no JSON.

    Lines that all look like objects are parsed in one go, which takes half the time.
    """
    body = block.removesuffix(b"\n")
    lines = body.count(b"\n") + 1
    if body[:1] == b"{" and body[-1:] == b"}" and body.count(b"}\n{") == lines - 1:
        with contextlib.suppress(ValueError):
            entries: list[Any] = orjson.loads(b"[" + body.replace(b"\n", b",") + b"]")
            if len(entries) == lines:
                return entries
    return map(_parsed, body.split(b"\n"))


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        return None


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
        self._save()  # where counting began is known even when we end before the first scrape

    def collect(self) -> Iterable[Metric]:
        """Read the new lines and return all counts."""
        try:
            read_bytes = 0
            for block in self._follower.blocks():
                self._counts.add(block)
                read_bytes += len(block)
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
                ({"route": route, "method": method, "status": str(status)}, sum(counts[:-1]))
                for (route, method, status), counts in self._counts.series.items()
            ],
        )

    def _latency(self) -> Metric:
        family = HistogramMetricFamily(
            "storewatch_edge_request_duration_seconds",
            "Time from the first byte of the request to the last of the answer.",
            labels=("route", "status_class"),
        )
        merged: dict[tuple[str, str], list[float]] = {}
        for (route, _, status), counts in self._counts.series.items():
            key = (route, f"{status // 100}xx")
            merged[key] = [a + b for a, b in zip(merged.get(key, _NONE), counts, strict=True)]
        bounds = [str(bound) for bound in BUCKETS_S] + ["+Inf"]
        for key, counts in merged.items():
            buckets = zip(bounds, itertools.accumulate(counts[:-1]), strict=True)
            family.add_metric(key, list(buckets), sum_value=counts[-1])
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
            "position": asdict(position),
            "counts": self._counts.to_state(),
        }
        with contextlib.suppress(OSError):  # a full disk must not hide the shop's errors
            write_atomic(self._state_file, orjson.dumps(state), mode=0o600)
