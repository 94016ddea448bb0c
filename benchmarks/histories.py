"""Histories of a shop's orders per minute, built from a seed: weeks of known shape and noise."""

import math
import random
from collections.abc import Callable
from functools import lru_cache

from alerting.anomaly.bounds import Occasion
from alerting.anomaly.season import WEEK_S, History, Span

START = 1_772_409_600  # Monday 2026-03-02 00:00 UTC
DAY_S = 86400

Shape = Callable[[float], float]
"""Unix seconds -> expected orders per minute."""


def at(week: int, day: int = 0, hour: float = 0.0) -> int:
    """Return the Unix seconds of a moment, counted from the history's start."""
    return START + week * WEEK_S + day * DAY_S + int(hour * 3600)


def flat(_moment: float) -> float:
    return 60.0


def weekly(moment: float) -> float:
    """30 a minute at night, 120 at the evening peak, a third more at the weekend."""
    hour = (moment % DAY_S) / 3600
    evening = 0.5 - 0.5 * math.cos(2 * math.pi * (hour - 7) / 24)
    weekend = 1.33 if (moment - START) % WEEK_S >= 5 * DAY_S else 1.0
    return (30 + 90 * evening**2) * weekend


def growing(moment: float) -> float:
    """The weekly season, 5 % more with each week."""
    return float(weekly(moment) * 1.05 ** ((moment - START) / WEEK_S))


def during(shape: Shape, span: Span, factor: float) -> Shape:
    """Return a shape that is multiplied within a span."""
    return lambda moment: shape(moment) * (factor if span.start <= moment < span.end else 1.0)


@lru_cache(maxsize=8)
def build(shape: Shape, weeks: float, seed: int = 1) -> History:
    """Return a history with Poisson noise on a rate that itself wanders by some percent an hour."""
    draw = random.Random(seed)
    counts, wander = [], 1.0
    for minute in range(round(weeks * WEEK_S / 60)):
        if minute % 60 == 0:
            wander = draw.gauss(1.0, 0.03)
        counts.append(float(poisson(draw, shape(START + 60 * minute) * wander)))
    return History(START, 60, counts)


def poisson(draw: random.Random, mean: float) -> int:
    """Return a Poisson number; above 30 by the normal approximation, rounded."""
    if mean > 30:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, draw.random()
    while product > limit:
        count += 1
        product *= draw.random()
    return count


def dropped(history: History, span: Span, left_ratio: float | None, seed: int = 2) -> History:
    """Return a history that keeps a share of its events in a span; None: nothing is measured."""
    draw = random.Random(seed)
    counts = list(history.counts)
    for index in range(int(span.start - START) // 60, int(span.end - START) // 60):
        if left_ratio is None:
            counts[index] = math.nan
        else:
            counts[index] = float(
                sum(draw.random() < left_ratio for _ in range(int(counts[index])))
            )
    return History(history.start, history.step_s, counts)


PROMOTION = Occasion("sale", Span(at(5, 4, 8), at(5, 4, 20)), None)
HOLIDAY = Occasion("holiday", Span(at(6, 2), at(6, 3)), 0.4)

SHAPES: dict[str, tuple[Shape, tuple[Occasion, ...]]] = {
    "flat": (flat, ()),
    "weekly season": (weekly, ()),
    "growth": (growing, ()),
    "promotion": (during(weekly, PROMOTION.span, 4.0), (PROMOTION,)),
    "holiday": (during(weekly, HOLIDAY.span, 0.4), (HOLIDAY,)),
}
WITHIN_MINUTES = {0.5: 10, 0.1: 5, 0.0: 3, None: 3}
"""Share of orders that is left -> minutes to be found in; None is a counter that is gone."""
