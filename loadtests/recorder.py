"""What the generator keeps of a run: histograms, a curve per second, the ledger of orders."""

import json
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from storewatch.core.errors import LoadError
from storewatch.core.journey import StepResult
from storewatch.store.files import write_atomic

# 1 microsecond to 10 minutes at 3 significant digits: a percentile is off by less than 0.1 %.
_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 600_000_000, 3
ALL_STEPS = "all"
# A second's histogram takes 170 KB: it is kept this long, then only its quantiles are.
_SECONDS_IN_FULL = 120


@dataclass(frozen=True, slots=True)
class Visit:
    """One journey as it went; moments are seconds from the beginning of the run."""

    intended_s: float
    started_s: float
    ended_s: float
    steps: tuple[StepResult, ...]
    error: str


@dataclass(slots=True)
class Second:
    """One second of the run, for the curves."""

    arrivals: int = 0
    requests: int = 0
    failed: int = 0
    latency: dict[str, float | None] | None = None
    histogram: Any = field(default_factory=lambda: _histogram())

    def record(self, latency_s: float) -> None:
        """Take in a step's latency, unless the second is closed."""
        if self.latency is None:
            _record(self.histogram, latency_s)

    def close(self) -> dict[str, float | None]:
        """Let the histogram go and return its quantiles."""
        if self.latency is None:
            self.latency = percentiles(self.histogram)
            self.histogram = None
        return self.latency


def _histogram() -> Any:
    return HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)


class Recorder:
    """Collects visits in bounded memory and writes `summary.json` and `ledger.jsonl`.

    Args:
        folder: where the files go.
        warm_up_s: visits meant to start before this are left out of everything but the ledger.
    """

    def __init__(self, folder: Path, warm_up_s: float) -> None:
        self.folder = folder
        self.warm_up_s = warm_up_s
        self.missed = 0
        self.visits = 0
        self.failed = 0
        self.requests = 0
        self.failed_requests = 0
        self.acknowledged = 0
        self.errors: Counter[str] = Counter()
        self._latency: dict[str, Any] = defaultdict(_histogram)
        self._journey = _histogram()
        self._service = _histogram()
        self._lateness = _histogram()
        self._seconds: dict[int, Second] = {}
        self._in_full: deque[int] = deque()
        self._ledger = (folder / "ledger.jsonl").open("a", buffering=1)

    def attempted(self, idempotency_key: str) -> None:
        """Write down that an order is about to be sent, before it is sent."""
        self._ledger.write(json.dumps({"attempt": idempotency_key}) + "\n")

    def order(self, order: dict[str, Any]) -> None:
        """Write down an order that the shop has acknowledged."""
        self.acknowledged += 1
        self._ledger.write(json.dumps({"order": order}) + "\n")

    def request(self, at_s: float, *, ok: bool) -> None:
        """Count one HTTP request answered `at_s` seconds after the beginning."""
        if at_s >= self.warm_up_s:
            self.requests += 1
            self.failed_requests += not ok
        self._second(at_s).requests += 1

    def miss(self, intended_s: float) -> None:
        """Count an arrival that could not be started in time."""
        if intended_s >= self.warm_up_s:
            self.missed += 1

    def visit(self, visit: Visit) -> None:
        """Record one visit; its first step is measured from the intended start."""
        second = self._second(visit.intended_s)
        second.arrivals += 1
        second.failed += bool(visit.error)
        waited_s = visit.started_s - visit.intended_s
        for position, step in enumerate(visit.steps):
            latency_s = step.duration_s + (waited_s if position == 0 else 0.0)
            second.record(latency_s)
            if visit.intended_s >= self.warm_up_s:
                _record(self._latency[step.name], latency_s)
                _record(self._latency[ALL_STEPS], latency_s)
        if visit.intended_s < self.warm_up_s:
            return
        self.visits += 1
        _record(self._journey, visit.ended_s - visit.intended_s)
        _record(self._service, visit.ended_s - visit.started_s)
        _record(self._lateness, waited_s)
        if visit.error:
            self.failed += 1
            self.errors[visit.error[:200]] += 1

    def summary(self, cpu_ratio: float, duration_s: float) -> dict[str, Any]:
        """Return all figures; latencies in seconds, `cpu_ratio` in cores used by the generator."""
        return {
            "duration_s": round(duration_s, 3),
            "generator_cpu_ratio": round(cpu_ratio, 4),
            "arrivals_missed": self.missed,
            "visits": self.visits,
            "visits_failed": self.failed,
            "requests": self.requests,
            "requests_failed": self.failed_requests,
            "orders_acknowledged": self.acknowledged,
            "errors": dict(self.errors.most_common(20)),
            "steps": {name: percentiles(h) for name, h in self._latency.items()},
            "journey": percentiles(self._journey),
            "service": percentiles(self._service),
            "lateness": percentiles(self._lateness),
            "spectrum": spectrum(self._latency[ALL_STEPS]),
            "seconds": [self._curve(s, v) for s, v in sorted(self._seconds.items())],
        }

    def write(self, cpu_ratio: float, duration_s: float) -> None:
        """Write `summary.json` and close the ledger."""
        self._ledger.close()
        text = json.dumps(self.summary(cpu_ratio, duration_s), indent=1) + "\n"
        write_atomic(self.folder / "summary.json", text.encode())

    def _second(self, at_s: float) -> Second:
        number = int(at_s)
        if number not in self._seconds:
            self._seconds[number] = Second()
            self._in_full.append(number)
            while self._in_full[0] < number - _SECONDS_IN_FULL:
                self._seconds[self._in_full.popleft()].close()
        return self._seconds[number]

    @staticmethod
    def _curve(second: int, value: Second) -> dict[str, Any]:
        quantiles = value.close()
        return {
            "second": second,
            "arrivals": value.arrivals,
            "failed": value.failed,
            "requests": value.requests,
            "p50_s": quantiles["p50_s"],
            "p95_s": quantiles["p95_s"],
            "max_s": quantiles["max_s"],
        }


def _record(histogram: Any, seconds: float) -> None:
    histogram.record_value(min(max(round(seconds * 1e6), _LOWEST_US), _HIGHEST_US))


def percentiles(histogram: Any) -> dict[str, float | None]:
    """Return count, p50, p95, p99 and maximum in seconds; None where nothing was recorded."""
    count = histogram.get_total_count()
    result: dict[str, float | None] = {"count": count}
    for name, quantile in (("p50_s", 50), ("p95_s", 95), ("p99_s", 99), ("max_s", 100)):
        result[name] = histogram.get_value_at_percentile(quantile) / 1e6 if count else None
    return result


def spectrum(histogram: Any) -> list[tuple[float, float]]:
    """Return (percentile, seconds) pairs for the percentile curve, dense towards the tail."""
    if not histogram.get_total_count():
        return []
    marks = [0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.99, 100]
    return [(mark, histogram.get_value_at_percentile(mark) / 1e6) for mark in marks]


def read_ledger(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the attempted idempotency keys and the acknowledged orders of a ledger file.

    A last line cut off by a crash is left out: what it would have said was not written down.

    Raises:
        LoadError: another line is broken; orders would go missing unseen.
    """
    attempts, orders = [], []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is cut off
        try:
            record = json.loads(line)
            if "attempt" in record:
                attempts.append(record["attempt"])
            else:
                orders.append(record["order"])
        except (ValueError, KeyError, TypeError) as error:
            raise LoadError(
                f"{path}: line {number} is broken, the orders cannot be accounted for: {error}"
            ) from error
    return attempts, orders
