"""What the generator keeps of a run: histograms, a curve per second, the ledger of orders."""

import bisect
import itertools
import json
import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from loadtests.arrivals import WARM_UP, Stage
from loadtests.health import worst_lateness
from loadtests.histogram import Histogram, bucket, merged
from storewatch.core.errors import LoadError
from storewatch.core.journey import StepResult
from storewatch.store.files import write_atomic

WINDOW_S = 10
MOST_ROUTES = 100
OTHER_ROUTES = "other"
# A second's histogram is kept this long, then only its quantiles are: memory does not grow.
_SECONDS_IN_FULL = 120


@dataclass(frozen=True, slots=True)
class Visit:
    """One journey as it went; moments are seconds from the beginning of the run."""

    journey: str
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
    latency: Histogram = field(default_factory=Histogram)
    quantiles: dict[str, float | None] | None = None


@dataclass(slots=True)
class Cell:
    """What became of the visits of one journey in one stage.

    Attributes:
        steps: latency by step; the first of each visit counts from the intended start.
        visit: from the intended start to the end.
    """

    visits: int = 0
    failed: int = 0
    steps: defaultdict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    visit: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class StageCounts:
    """What a stage counts beside its visits: also how late they started, and the process woke."""

    missed: int = 0
    requests: int = 0
    requests_failed: int = 0
    lateness: Histogram = field(default_factory=Histogram)
    waking: Histogram = field(default_factory=Histogram)


class Recorder:
    """Collects visits in bounded memory and writes `summary.json` and `ledger.jsonl`.

    Args:
        folder: where the files go.
        stages: of the run; what is meant to start in one that does not count is left out of
            everything but its own figures, the curves and the ledger.
        mixed: whether there is more than one journey; steps are then named with theirs.
        longest_visit_s: seconds after its intended start at which a visit has ended.
    """

    def __init__(
        self,
        folder: Path,
        stages: Sequence[Stage],
        *,
        mixed: bool = False,
        longest_visit_s: float = 0.0,
    ) -> None:
        self.folder = folder
        self.acknowledged = 0
        self.visits = 0
        self.failed = 0
        self.errors: Counter[str] = Counter()
        self._mixed = mixed
        self._stages = list(stages)
        self._counts = [StageCounts() for _ in stages]
        *self._ends, self._end_s = itertools.accumulate(stage.duration_s for stage in stages)
        self._in_full_s = max(_SECONDS_IN_FULL, math.ceil(longest_visit_s))
        self._cells: defaultdict[tuple[int, str], Cell] = defaultdict(Cell)
        self._routes: dict[str, Histogram] = {}
        self._service = Histogram()
        self._windows: defaultdict[int, Histogram] = defaultdict(Histogram)
        self._seconds: dict[int, Second] = {}
        self._in_full: deque[int] = deque()
        self._ledger = (folder / "ledger.jsonl").open("ab", buffering=0)

    def attempted(self, idempotency_key: str) -> None:
        """Write down that an order is about to be sent, before it is sent."""
        self._ledger.write(orjson.dumps({"attempt": idempotency_key}) + b"\n")

    def order(self, order: dict[str, Any]) -> None:
        """Write down an order that the shop has acknowledged."""
        self.acknowledged += 1
        self._ledger.write(orjson.dumps({"order": order}) + b"\n")

    def request(self, at_s: float, route: str, took_s: float, *, ok: bool) -> None:
        """Count one HTTP request.

        Args:
            at_s: when it was answered, from the beginning of the run.
            route: method and template; beyond `MOST_ROUTES` of them the rest is one.
            took_s: from sending to its whole answer.
            ok: whether it was answered, and not by an error of the server.
        """
        self._second(at_s).requests += 1
        if at_s >= self._end_s:
            return  # of a visit that takes longer than the run; no rate has room for it
        position = bisect.bisect_right(self._ends, at_s)
        counts = self._counts[position]
        counts.requests += 1
        counts.requests_failed += not ok
        if self._stages[position].counts:
            known = self._routes.get(route) or self._new_route(route)
            known.record(took_s)

    def woke(self, due_s: float, late_s: float) -> None:
        """Count one moment at which the generator was to wake up, and how late it did."""
        self._counts[bisect.bisect_right(self._ends, due_s)].waking.record(late_s)

    def miss(self, intended_s: float) -> None:
        """Count an arrival that could not be started in time: for its second it has failed."""
        self._second(intended_s).failed += 1
        self._counts[bisect.bisect_right(self._ends, intended_s)].missed += 1

    def visit(self, visit: Visit) -> None:
        """Record one visit; its first step is measured from the intended start."""
        waited_s = visit.started_s - visit.intended_s
        second = self._second(visit.intended_s)
        second.arrivals += 1
        second.failed += bool(visit.error)
        position = bisect.bisect_right(self._ends, visit.intended_s)
        cell = self._cells[position, visit.journey]
        before_s = waited_s
        for step in visit.steps:
            one = bucket(step.duration_s + before_s)
            before_s = 0.0
            cell.steps[step.name].count(one)
            if second.quantiles is None:
                second.latency.count(one)
        cell.visits += 1
        cell.failed += bool(visit.error)
        cell.visit.record(visit.ended_s - visit.intended_s)
        self._counts[position].lateness.record(waited_s)
        if self._stages[position].counts:
            self.visits += 1
            self.failed += bool(visit.error)
            self._service.record(visit.ended_s - visit.started_s)
            if visit.error:
                self.errors[visit.error[:200]] += 1

    def summary(self, cpu_ratio: float, duration_s: float) -> dict[str, Any]:
        """Return all figures; latencies in seconds, `cpu_ratio` as `busiest` says it."""
        seconds = [self._curve(number) for number in sorted(self._seconds)]
        stages = zip(self._stages, self._counts, strict=True)
        warm = [one for stage, one in stages if stage.name != WARM_UP]
        counting = [n for n, stage in enumerate(self._stages) if stage.counts]
        journeys = sorted({journey for _, journey in self._cells})
        cells = [cell for (stage, _), cell in self._cells.items() if stage in counting]
        return {
            "duration_s": round(duration_s, 3),
            "generator_cpu_ratio": round(cpu_ratio, 4),
            **_tally(cells, [self._counts[n] for n in counting]),
            "arrivals_missed": sum(one.missed for one in warm),
            "orders_acknowledged": self.acknowledged,
            "errors": dict(self.errors.most_common(20)),
            "by_step": self._by_step(counting),
            "by_journey": {
                one: found
                for one in journeys
                if (found := _tally([self._cells[n, one] for n in counting], []))["visits"]
            },
            "by_route": {name: one.quantiles() for name, one in sorted(self._routes.items())},
            "by_stage": [
                {
                    "name": stage.name,
                    **_tally([self._cells[n, one] for one in journeys], [self._counts[n]]),
                }
                for n, stage in enumerate(self._stages)
            ],
            "service": self._service.quantiles(),
            "lateness": worst_lateness(one.lateness for one in warm),
            "waking": worst_lateness(one.waking for one in warm),
            "spectrum": merged(h for cell in cells for h in cell.steps.values()).spectrum(),
            "windows": [
                {"start_s": number * WINDOW_S, **window.quantiles()}
                for number, window in sorted(self._windows.items())
            ],
            "seconds": seconds,
        }

    def write(self, cpu_ratio: float, duration_s: float) -> None:
        """Write `summary.json` and close the ledger."""
        self._ledger.close()
        text = json.dumps(self.summary(cpu_ratio, duration_s), indent=1) + "\n"
        write_atomic(self.folder / "summary.json", text.encode())

    def _by_step(self, counting: list[int]) -> dict[str, dict[str, float | None]]:
        steps: defaultdict[str, Histogram] = defaultdict(Histogram)
        for (stage, journey), cell in self._cells.items():
            for name, histogram in cell.steps.items():
                if stage in counting:
                    steps[f"{journey}/{name}" if self._mixed else name].add(histogram)
        return {name: histogram.quantiles() for name, histogram in steps.items()}

    def _new_route(self, route: str) -> Histogram:
        known = len(self._routes) - (OTHER_ROUTES in self._routes)
        return self._routes.setdefault(route if known < MOST_ROUTES else OTHER_ROUTES, Histogram())

    def _second(self, at_s: float) -> Second:
        number = int(at_s)
        found = self._seconds.get(number)
        if found is None:
            found = self._seconds[number] = Second()
            self._in_full.append(number)
            while self._in_full[0] < number - self._in_full_s:
                self._close(self._in_full.popleft())
        return found

    def _close(self, number: int) -> dict[str, float | None]:
        """Keep the quantiles of a second, give its histogram to its window, and let it go."""
        second = self._seconds[number]
        if second.quantiles is None:
            second.quantiles = second.latency.quantiles()
            if self._stages[bisect.bisect_right(self._ends, number)].counts:
                self._windows[number // WINDOW_S].add(second.latency)
            second.latency = Histogram()
        return second.quantiles

    def _curve(self, number: int) -> dict[str, Any]:
        quantiles, second = self._close(number), self._seconds[number]
        counts = {name: getattr(second, name) for name in ("arrivals", "failed", "requests")}
        shown = {name: quantiles[name] for name in ("p50_s", "p95_s", "max_s")}
        return {"second": number, **counts, **shown}


def _tally(cells: Iterable[Cell], counts: Iterable[StageCounts]) -> dict[str, Any]:
    """Return counts and quantiles of some journeys in some stages together."""
    cells, counts = list(cells), list(counts)
    return {
        "visits": sum(cell.visits for cell in cells),
        "visits_failed": sum(cell.failed for cell in cells),
        "arrivals_missed": sum(one.missed for one in counts),
        "requests": sum(one.requests for one in counts),
        "requests_failed": sum(one.requests_failed for one in counts),
        "steps": merged(h for cell in cells for h in cell.steps.values()).quantiles(),
        "visit": merged(cell.visit for cell in cells).quantiles(),
    }


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
