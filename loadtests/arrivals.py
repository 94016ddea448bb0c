"""When journeys are meant to start. Open arrivals: nothing that the shop does moves them."""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

WARM_UP = "warm-up"
"""The stage that is in no figure of a run but its own."""
HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of a run in which the rate is constant or goes evenly from one to another.

    Attributes:
        name: unique within a run.
        duration_s: how long it takes.
        start_rate, end_rate: journeys per second at its beginning and end.
        counts: whether it belongs to the figures of the run as a whole; warm-up and ramps do not.
        may_break: whether the shop is loaded to see where it breaks.
    """

    name: str
    duration_s: float
    start_rate: float
    end_rate: float
    counts: bool = True
    may_break: bool = False

    @property
    def journeys(self) -> float:
        """How many journeys are meant to start in it."""
        return self.duration_s * (self.start_rate + self.end_rate) / 2

    def rate(self, after_s: float) -> float:
        """Return the rate so many seconds after its beginning."""
        share = min(max(after_s / self.duration_s, 0.0), 1.0)
        return self.start_rate + (self.end_rate - self.start_rate) * share

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return asdict(self)

    def moment(self, journeys: float) -> float:
        """Return after how many seconds so many journeys are meant to have started.

        Source: the rate is linear, so the count is a quadratic in time; solved in the form that
        keeps its digits where the rates are nearly equal.
        """
        slope = (self.end_rate - self.start_rate) / self.duration_s
        root = math.sqrt(max(0.0, self.start_rate**2 + 2 * slope * journeys))
        return 2 * journeys / (self.start_rate + root) if journeys else 0.0


def even(stages: Iterable[Stage]) -> Iterator[float]:
    """Yield intended starts in seconds, evenly spaced; none at the end of the last stage."""
    return _scheduled(stages, (float(number) for number in _naturals()))


def poisson(stages: Iterable[Stage], seed: str) -> Iterator[float]:
    """Yield intended starts in seconds of a Poisson process: as independent shoppers come.

    Source: the gaps of a process with rate 1 are exponential with mean 1; a rate that changes
    stretches its time (time change of the non-homogeneous process).

    Args:
        stages: the rate over time.
        seed: the same seed gives the same arrivals.
    """
    return _scheduled(stages, _exponential_sums(random.Random(seed)))


def _scheduled(stages: Iterable[Stage], counts: Iterator[float]) -> Iterator[float]:
    """Yield the moments at which the number of journeys reaches each of the rising counts."""
    begun_s = passed = 0.0
    count = next(counts)
    for stage in stages:
        while count - passed < stage.journeys:
            yield begun_s + stage.moment(count - passed)
            count = next(counts)
        begun_s += stage.duration_s
        passed += stage.journeys


def _naturals() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def _exponential_sums(chance: random.Random) -> Iterator[float]:
    total = 0.0
    while True:
        total += chance.expovariate(1.0)
        yield total


# Shopper numbers are partitioned: of each 500 the last 20 belong to the journeys on a timer (490
# to 499) and to the checks of a proof (480 to 489); load never shares a cart with them.
_BLOCK, _OURS = 500, 480


def shopper_number(arrival: int) -> int:
    """Return the shopper number of an arrival, unique within a run."""
    return arrival // _OURS * _BLOCK + arrival % _OURS
