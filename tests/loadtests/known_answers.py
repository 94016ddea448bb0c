"""What the load generator measures on servers whose latency is known.

    python tests/loadtests/known_answers.py [SECONDS]

prints the table of docs/reference/accuracy.md, of runs of two minutes if nothing else is said.

All servers are asked at the same time, each by a generator of its own; those that stop, for twenty
seconds, because what they do is not drawn and longer would not be more.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import queue_theory
from load_queues import Queue, serving

from loadtests.arrivals import Stage, poisson, shopper_number
from loadtests.plan import Plan
from loadtests.process import RunningLoad
from loadtests.profiles import ProfileSettings
from loadtests.run import start_load
from loadtests.settings import LoadSettings
from loadtests.verdict import reasons_to_distrust
from storewatch.core.evidence import new_id

PERCENTILES = (50, 90, 99)
# In it all generators start, connections are made and queues get as long as they mostly are.
WARM_UP_S = 8.0
# What HTTP over loopback and the timers on both sides may add to an answer: on a quiet machine 1 to
# 2 ms, as the generator's timers go by whole milliseconds. A histogram adds less than 0.1 %. To it
# comes what a busy machine adds, as the generator says of itself: the p99 of how late it wakes.
OVERHEAD_S, OVERHEAD_RATIO = 0.003, 0.01
STOP_S = 2.0
_STOPPING_HOLD_S = 20.0
_REPETITIONS = 100


@dataclass(frozen=True, slots=True)
class Case:
    """A server, the arrivals at it, and what theory says of both.

    Attributes:
        name: as in the table.
        queue: the server.
        rate: arrivals per second; as independent shoppers come, or evenly when the server stops.
        theory: (percentile, seconds of the run that count) to seconds.
        senders: virtual shoppers; more than ever wait at once, unless too few are the point.
    """

    name: str
    queue: Queue
    rate: float
    theory: Callable[[float, float], float]
    senders: int = 100

    @property
    def stops(self) -> bool:
        """Whether the server does."""
        return self.queue.stop_s > 0

    def profile(self, hold_s: float) -> ProfileSettings:
        """Return the load."""
        return ProfileSettings.model_validate(
            {
                "rate": self.rate,
                "hold": f"{hold_s:g}s",
                "warm_up": f"{WARM_UP_S:g}s",
                "spacing": "even" if self.stops else "poisson",
            }
        )

    def hold_s(self, wanted_s: float) -> float:
        """Return for how many seconds arrivals count."""
        return min(wanted_s, _STOPPING_HOLD_S) if self.stops else wanted_s

    def answers(self, moments: Iterable[float], seed: str) -> dict[str, list[float]]:
        """Return the known `latency` and `service` of the arrivals that count, each sorted."""
        moments, queue = list(moments), replace(self.queue, seed=seed)
        numbered = ((m, queue.service_s(shopper_number(n))) for n, m in enumerate(moments))
        both = queue_theory.responses(self.queue, numbered, self.senders)
        kept = [one for m, one in zip(moments, both, strict=True) if m >= WARM_UP_S]
        latency, service = (sorted(column) for column in zip(*kept, strict=True))
        return {"latency": latency, "service": service}

    def scatter_s(self, hold_s: float) -> dict[float, float]:
        """Return three standard deviations of each percentile among runs of that length.

        The waits of neighbours are alike, so that the textbook's error of a quantile is too small;
        it is taken from a hundred runs by the recursion, each with arrivals
        and services of its own.
        """
        if self.stops:
            return dict.fromkeys(PERCENTILES, 1 / self.rate)  # on an arrival or beside it
        stages = (
            Stage("warm-up", WARM_UP_S, self.rate, self.rate),
            Stage("hold", hold_s, self.rate, self.rate),
        )
        found: dict[float, list[float]] = {percentile: [] for percentile in PERCENTILES}
        for repetition in range(_REPETITIONS):
            seed = f"repetition {repetition}"
            drawn = self.answers(poisson(stages, seed), seed)["latency"]
            for percentile in PERCENTILES:
                found[percentile].append(queue_theory.at(drawn, percentile))
        return {percentile: 3 * statistics.stdev(each) for percentile, each in found.items()}


def _stopping(rate: float, service_s: float) -> Callable[[float, float], float]:
    return lambda percentile, hold_s: queue_theory.stopped(
        rate, service_s, STOP_S, hold_s, percentile
    )


def _lasting(below: Callable[[float], float]) -> Callable[[float, float], float]:
    return lambda percentile, _hold_s: queue_theory.quantile(below, percentile)


# Half way between two arrivals: a millisecond decides nothing.
_STOPPED = Queue(0.004, stop_at_s=WARM_UP_S + 3.005, stop_s=STOP_S)
CASES = (
    Case(
        "exponential service (M/M/1)",
        Queue(0.01, exponential=True),
        60,
        _lasting(queue_theory.exponential(1, 60, 0.01)),
    ),
    Case("constant service (M/D/1)", Queue(0.01), 60, _lasting(queue_theory.constant(60, 0.01))),
    Case(
        "ten parallel slots (M/M/10)",
        Queue(0.1, exponential=True, slots=10),
        70,
        _lasting(queue_theory.exponential(10, 70, 0.1)),
    ),
    Case("stopped for 2 s", _STOPPED, 100, _stopping(100, 0.004), senders=300),
    Case("stopped for 2 s, ten connections", _STOPPED, 100, _stopping(100, 0.004), senders=10),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found of a case.

    Attributes:
        latency: by percentile, from the intended start, in seconds.
        service: by percentile, from the actual start; p50 and p99.
        known, known_service: what these very arrivals and services must find.
        waking_s: how late the generator woke at p99, and at worst.
        visits, failed: how many requests; what became of none.
        doubts: why the generator itself would not trust it.
    """

    case: Case
    hold_s: float
    latency: dict[float, float]
    service: dict[float, float]
    known: dict[float, float]
    known_service: dict[float, float]
    waking_s: tuple[float, float]
    visits: int
    failed: int
    doubts: list[str]

    def theory_s(self, percentile: float) -> float:
        """Return what theory says of a run of this length."""
        return self.case.theory(percentile, self.hold_s)

    def tolerance_s(self) -> dict[float, float]:
        """Return by percentile how far from theory a right measurement may be."""
        scatter_s = self.case.scatter_s(self.hold_s)
        return {p: self.overhead_s(self.theory_s(p)) + scatter_s[p] for p in PERCENTILES}

    def overhead_s(self, known_s: float) -> float:
        """Return how far from the known answer of the same arrivals it may be."""
        return OVERHEAD_S + OVERHEAD_RATIO * known_s + self.waking_s[0]


def settings(case: Case, url: str) -> LoadSettings:
    """Return what the generator is told of the server."""
    return LoadSettings.model_validate(
        {
            "base_url": url,
            "journeys": {"ask": "load_walks:ask"},
            "timeout": "30s",
            "connections": case.senders,
        }
    )


@contextmanager
def loading(case: Case, hold_s: float, folder: Path, seed: str) -> Iterator[RunningLoad]:
    """Load the server of a case; neither outlives the block."""
    with serving(replace(case.queue, seed=seed)) as url:
        folder.mkdir()
        load = start_load(settings(case, url), "ask", case.profile(hold_s), folder, lambda _: None)
        try:
            yield load
        finally:
            load.kill()


def answers(
    wanted_s: float, folder: Path, seed: str, cases: Iterable[Case] = CASES
) -> list[Answer]:
    """Measure cases at once.

    Args:
        wanted_s: seconds of arrivals that count, for servers that do not stop.
        folder: where the generators write.
        seed: of the services; the arrivals have that of their run.
        cases: which.
    """
    here = {"PYTHONPATH": str(Path(__file__).parent)}  # generators find the journey
    with mock.patch.dict(os.environ, here), ExitStack() as stack:
        loads = []
        for number, case in enumerate(cases):
            one = loading(case, case.hold_s(wanted_s), folder / str(number), seed)
            loads.append((case, stack.enter_context(one)))
        summaries = [load.wait() for _, load in loads]
        return [
            _answer(case, case.hold_s(wanted_s), load.plan, summary, seed)
            for (case, load), summary in zip(loads, summaries, strict=True)
        ]


def _answer(case: Case, hold_s: float, plan: Plan, summary: dict[str, Any], seed: str) -> Answer:
    known = case.answers((moment for moment, _ in plan.arrivals()), seed)
    spectrum = dict(summary["spectrum"])
    return Answer(
        case=case,
        hold_s=hold_s,
        latency={p: spectrum[p] for p in PERCENTILES},
        service={p: summary["service"][f"p{p}_s"] for p in (50, 99)},
        known={p: queue_theory.at(known["latency"], p) for p in PERCENTILES},
        known_service={p: queue_theory.at(known["service"], p) for p in (50, 99)},
        waking_s=(summary["waking"]["p99_s"], summary["waking"]["max_s"]),
        visits=summary["visits"],
        failed=summary["visits_failed"] + summary["arrivals_missed"],
        doubts=reasons_to_distrust(summary),
    )


def table(found: list[Answer]) -> Iterator[str]:
    """Yield the two tables of docs/reference/accuracy.md, in milliseconds."""
    yield "| server | | theory | measured | tolerance | known answer | apart |"
    yield "|---|---|---|---|---|---|---|"
    for one in found:
        tolerance_s = one.tolerance_s()
        for percentile in PERCENTILES:
            measured, known = one.latency[percentile], one.known[percentile]
            row = (one.theory_s(percentile), measured, tolerance_s[percentile], known)
            yield _row(f"{one.case.name} | p{percentile}", *row, measured - known)
    yield ""
    yield "| server | p50 | p99 | p50 from the actual start | p99 from the actual start |"
    yield "|---|---|---|---|---|"
    for one in found:
        if one.case.stops:
            both = (one.latency[50], one.latency[99], one.service[50], one.service[99])
            yield _row(one.case.name, *both)
    yield ""
    for one in found:
        doubts = "; ".join(one.doubts) or "trusted"
        yield f"{one.case.name}: {one.visits} requests, {one.failed} without answer, {doubts}"
        yield f"  woke {1000 * one.waking_s[0]:.1f} ms late or more 1 % of the time"


def _row(name: str, *seconds: float) -> str:
    return f"| {name} | " + " | ".join(f"{1000 * one:.1f}" for one in seconds) + " |"


def main(hold_s: float) -> None:
    """Measure, and print the tables."""
    with tempfile.TemporaryDirectory(prefix="storewatch-known-") as name:
        for line in table(answers(hold_s, Path(name), new_id())):
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 120.0)
