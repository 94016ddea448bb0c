"""What a counter of events should show at this hour of this weekday, and when less is too little.

The expectation is learnt from the same weekday and hour of the weeks before: their median, each
week brought to today's level by the growth from week to week. So a fault of today never moves
today's expectation, and one bad week in four does not either.

Source: median and median absolute deviation as robust estimates of middle and spread: Rousseeuw
and Croux, "Alternatives to the Median Absolute Deviation", JASA 88 (1993).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

HOUR_S = 3600
WEEK_S = 7 * 24 * HOUR_S
HOURS_OF_WEEK = 168

_BLOCK_S = 300
_NORMAL = 1.4826
"""Median absolute deviation to standard deviation, for normally distributed values."""
_GROWTH = (0.8, 1.25)
"""Growth from week to week beyond this is a change of the shop, not its trend."""
_PRESENT = 0.75
"""The share of an hour that must have been measured for the hour to count."""
_SPREAD_MIN = 0.02
_PAIRS_MIN = 24


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in Unix seconds: `start` belongs to it, `end` does not."""

    start: float
    end: float

    def overlaps(self, start: float, end: float) -> bool:
        """Return whether it shares any moment with [start, end)."""
        return self.start < end and start < self.end


@dataclass(frozen=True, slots=True)
class History:
    """Events counted step by step.

    `counts[i]` is the number of events in the `step_s` seconds from `start + i * step_s` on (Unix
    seconds, a multiple of the step); NaN where nothing was measured. A step divides 300 s.
    """

    start: int
    step_s: int
    counts: Sequence[float]

    @property
    def end(self) -> int:
        """The end of the last step."""
        return self.start + len(self.counts) * self.step_s


@dataclass(frozen=True, slots=True)
class Hour:
    """One measured hour: `rate` in events per minute; `scatter` as in `_scatter`, one a pair."""

    start: int
    rate: float
    scatter: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Season:
    """What is expected at each hour of the week.

    `middle` has 168 rates in events per minute, Monday 0 o'clock first; None where history does
    not suffice. `growth` is the factor from week to week. `dispersion` is the variance of a count
    by its mean (1 for Poisson), `spread_ratio` the standard deviation of an hour from week to
    week by its middle.
    """

    middle: tuple[float | None, ...]
    growth: float
    dispersion: float
    spread_ratio: float
    zone: str

    @property
    def ready_ratio(self) -> float:
        """The share of the week's hours for which something is expected."""
        return sum(rate is not None for rate in self.middle) / HOURS_OF_WEEK

    def expected(self, at: float) -> float | None:
        """Return the expected events per minute.

        It is the hour's own middle or the straight line between the middles of neighbouring hours,
        whichever is lower: within an hour nobody knows whether a change is a slope or a step.

        Args:
            at: Unix seconds.

        Returns:
            None where history does not suffice.
        """
        hour, index, share = _between_hours(int(at) // 60, self.zone)
        own, before = self.middle[hour], self.middle[index]
        after = self.middle[(index + 1) % HOURS_OF_WEEK]
        if own is None or before is None or after is None:
            return None
        return min(own, before + (after - before) * share)


def hours(history: History, excluded: Iterable[Span] = ()) -> list[Hour]:
    """Return the whole hours of a history that were measured and lie outside what is excluded."""
    spans = list(excluded)
    steps = HOUR_S // history.step_s
    first = -(-history.start // HOUR_S) * HOUR_S
    found = []
    for start in range(first, history.end - HOUR_S + 1, HOUR_S):
        if any(span.overlaps(start, start + HOUR_S) for span in spans):
            continue
        offset = (start - history.start) // history.step_s
        counts = history.counts[offset : offset + steps]
        present = [count for count in counts if not math.isnan(count)]
        if len(present) >= _PRESENT * steps:
            rate = sum(present) / len(present) * 60 / history.step_s
            found.append(Hour(start, rate, _scatter(counts, _BLOCK_S // history.step_s)))
    return found


def fit(
    measured: Sequence[Hour], now: float, *, zone: str, weeks: int, minimum_weeks: int
) -> Season:
    """Learn what each hour of the week brings.

    Args:
        measured: hours; those after `now` or older than `weeks` are left out.
        now: Unix seconds; the season is brought to the level of this moment.
        zone: time zone of the shop's customers, such as Europe/Berlin.
        weeks: how far back it looks.
        minimum_weeks: an hour seen in fewer weeks expects nothing.
    """
    recent = [h for h in measured if now - weeks * WEEK_S <= h.start and h.start + HOUR_S <= now]
    by_hour: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for hour in recent:
        age_weeks = (now - hour.start) / WEEK_S
        by_hour[_hour_of_week(hour.start, zone)].append((age_weeks, hour.rate))
    growth = _growth(by_hour)
    middle: list[float | None] = [None] * HOURS_OF_WEEK
    deviations = []
    for index, seen in by_hour.items():
        rates = [rate * growth**age for age, rate in seen]
        if len(rates) < minimum_weeks:
            continue
        middle[index] = typical = median(rates)
        if typical > 0:
            small_sample = math.sqrt(len(rates) / (len(rates) - 1)) if len(rates) > 1 else 1.0
            deviations += [abs(rate / typical - 1) * small_sample for rate in rates]
    scatter = [value for hour in recent for value in hour.scatter]
    return Season(
        middle=tuple(middle),
        growth=growth,
        dispersion=max(1.0, (median(scatter) * _NORMAL) ** 2) if scatter else 1.0,
        spread_ratio=max(_SPREAD_MIN, median(deviations) * _NORMAL) if deviations else _SPREAD_MIN,
        zone=zone,
    )


def _growth(by_hour: dict[int, list[tuple[float, float]]]) -> float:
    """Return the median factor between the same hour of two weeks that follow each other."""
    factors = []
    for seen in by_hour.values():
        for (older, before), (newer, after) in pairwise(sorted(seen, reverse=True)):
            if before > 0 and after > 0 and older - newer < 1.5:
                factors.append(after / before)
    if len(factors) < _PAIRS_MIN:
        return 1.0
    return min(max(median(factors), _GROWTH[0]), _GROWTH[1])


def _scatter(counts: Sequence[float], per_block: int) -> tuple[float, ...]:
    """Return how far neighbouring five minutes differ, in Poisson standard deviations.

    The difference of two counts of mean m has variance 2 m times the dispersion.
    """
    blocks = [sum(counts[i : i + per_block]) for i in range(0, len(counts), per_block)]
    return tuple(
        abs(after - before) / math.sqrt(after + before)
        for before, after in pairwise(blocks)
        if before + after > 0  # false for NaN as well
    )


@lru_cache(maxsize=4)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _hour_of_week(moment: float, zone: str) -> int:
    local = datetime.fromtimestamp(moment, _zone(zone))
    return local.weekday() * 24 + local.hour


@lru_cache(maxsize=200_000)
def _between_hours(minute: int, zone: str) -> tuple[int, int, float]:
    """Return the hour of the week, the one whose middle was last, and the way to the next."""
    local = datetime.fromtimestamp(minute * 60, _zone(zone))
    position = local.weekday() * 24 + local.hour + local.minute / 60
    index = math.floor(position - 0.5)
    return int(position), index % HOURS_OF_WEEK, position - 0.5 - index
